/* What the option table looks like to people: --help, man pages, shell completions. */
#include <ctype.h>

#include "cli/opt.h"

static void print_wrapped(FILE *out, const char *text, int indent, int width)
{
    int column = indent;
    while (*text) {
        int len = (int)strcspn(text, " ");
        if (column > indent && column + 1 + len > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", len, text);
        column += len;
        text += len;
        while (*text == ' ')
            text++;
    }
    fputc('\n', out);
}

static void option_left(const struct ww_cli_opt *o, char *out, size_t size)
{
    char letter[8] = "    ";
    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(out, size, "%s--%s%s%s", letter, o->name, o->metavar ? " " : "", o->metavar ? o->metavar : "");
}

static void print_options(FILE *out, uint32_t which)
{
    for (size_t i = 0; i < ww_cli_opts_count; i++) {
        const struct ww_cli_opt *o = &ww_cli_opts[i];
        char left[64], text[512];
        if (!(o->id & which))
            continue;
        option_left(o, left, sizeof left);
        snprintf(text, sizeof text, "%s%s%s%s%s%s%s", o->help, o->fallback ? " (default " : "",
            o->fallback ? o->fallback : "", o->fallback ? ")" : "", o->env ? " [$" : "", o->env ? o->env : "",
            o->env ? "]" : "");
        fprintf(out, "  %-24s", left);
        if (strlen(left) > 23)
            fprintf(out, "\n%26s", "");
        print_wrapped(out, text, 26, 100);
    }
}

/* Calls back for each "command\texplanation" line. */
static void each_example(FILE *out, const char *examples,
    void (*print)(FILE *, const char *cmd, int cmd_len, const char *why, int why_len))
{
    while (examples && *examples) {
        int cmd = (int)strcspn(examples, "\t");
        const char *why = examples + cmd + (examples[cmd] == '\t');
        int len = (int)strcspn(why, "\n");
        print(out, examples, cmd, why, len);
        examples = why + len + (why[len] == '\n');
    }
}

static void print_example(FILE *out, const char *cmd, int cmd_len, const char *why, int why_len)
{
    fprintf(out, "  %-52.*s %s%.*s\n", cmd_len, cmd, why_len ? "# " : "", why_len, why);
}

void ww_cli_print_help(FILE *out, const struct ww_cli_command *c)
{
    fprintf(
        out, "Usage: ww %s%s%s [options]\n\n%s\n", c->name, *c->arguments ? " " : "", c->arguments, c->about);
    fprintf(out, "\nOptions:\n");
    print_options(out, c->options | WW_OPT_HELP);
    if (c->examples) {
        fprintf(out, "\nExamples:\n");
        each_example(out, c->examples, print_example);
    }
}

void ww_cli_print_overview(FILE *out, const struct ww_cli_command *commands, size_t count)
{
    fprintf(out,
        "ww %s: a peer-to-peer cloud. Nodes find each other, keep a table of who is there, and answer\n"
        "queries about it from afar.\n\nUsage: ww COMMAND [options]\n\nCommands:\n",
        WW_VERSION);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(out,
        "\nTry:\n  ww start &      # a node; start more, here or on machines of the same network\n"
        "  ww ls           # who is in the cluster\n  ww help ls      # all about one command\n");
}

static void roff_text(FILE *out, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
        line_start = *text == '\n';
    }
}

/* A blank line starts a paragraph. */
static void roff_paragraphs(FILE *out, const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        size_t len = end ? (size_t)(end - text) : strlen(text);
        char part[2048];
        snprintf(part, sizeof part, "%.*s", (int)len, text);
        roff_text(out, part);
        fputc('\n', out);
        text += len + (end ? 2 : 0);
        if (*text)
            fputs(".PP\n", out);
    }
}

static void man_example(FILE *out, const char *cmd, int cmd_len, const char *why, int why_len)
{
    char text[256];
    fputs(".TP\n.B ", out);
    snprintf(text, sizeof text, "%.*s", cmd_len, cmd);
    roff_text(out, text);
    fputc('\n', out);
    snprintf(text, sizeof text, "%.*s", why_len, why);
    roff_text(out, text);
    fputc('\n', out);
}

static void man_options(FILE *out, uint32_t which)
{
    for (size_t i = 0; i < ww_cli_opts_count; i++) {
        const struct ww_cli_opt *o = &ww_cli_opts[i];
        if (!(o->id & which))
            continue;
        fputs(".TP\n", out);
        if (o->letter)
            fprintf(out, ".BR \\-%c \", \" \\-\\-%s", o->letter, o->name);
        else
            fprintf(out, ".BR \\-\\-%s", o->name);
        if (o->metavar)
            fprintf(out, " \" %s\"", o->metavar);
        fputc('\n', out);
        roff_text(out, o->help);
        fputs(".\n", out);
        if (o->fallback)
            fprintf(out, "Default: %s.\n", o->fallback);
        if (o->env)
            fprintf(out, "Environment: %s.\n", o->env);
    }
}

static void man_head(FILE *out, const char *title, const char *summary)
{
    fprintf(out, ".TH \"");
    for (const char *p = title; *p; p++)
        fputc(toupper((unsigned char)*p), out);
    fprintf(out, "\" \"1\" \"\" \"ww %s\" \"Wetware\"\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n", WW_VERSION,
        title, summary);
}

static void man_overview(FILE *out, const struct ww_cli_command *all, size_t count)
{
    man_head(out, "ww", "a peer-to-peer cloud");
    fputs(".B ww\n.I COMMAND\n[options]\n.SH DESCRIPTION\nNodes form a cluster by themselves, keep an "
          "indexed table of "
          "each other\\(aqs heartbeats, and answer queries about it from afar.\n.SH COMMANDS\n",
        out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, ".TP\n.BR ww\\-%s (1)\n", all[i].name);
        roff_text(out, all[i].summary);
        fputs(".\n", out);
    }
    fputs(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage.\n", out);
}

void ww_cli_print_man(
    FILE *out, const struct ww_cli_command *c, const struct ww_cli_command *all, size_t count)
{
    if (!c) {
        man_overview(out, all, count);
        return;
    }
    char title[32];
    snprintf(title, sizeof title, "ww-%s", c->name);
    man_head(out, title, c->summary);
    fprintf(out, ".B ww %s\n", c->name);
    roff_text(out, c->arguments);
    fputs("\n[options]\n.SH DESCRIPTION\n", out);
    roff_paragraphs(out, c->about);
    fputs(".SH OPTIONS\n", out);
    man_options(out, c->options | WW_OPT_HELP);
    if (c->examples) {
        fputs(".SH EXAMPLES\n", out);
        each_example(out, c->examples, man_example);
    }
    fputs(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage.\n.SH SEE ALSO\n.BR ww (1)\n", out);
}

void ww_cli_print_bash(FILE *out, const struct ww_cli_command *commands, size_t count)
{
    fputs("# bash completion for ww\n_ww() {\n    local cur=${COMP_WORDS[COMP_CWORD]} "
          "prev=${COMP_WORDS[COMP_CWORD-1]}"
          " cmd= w\n    for w in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n        case $w in\n        ",
        out);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s%s", i ? "|" : "", commands[i].name);
    fputs(") cmd=$w; break ;;\n        esac\n    done\n    case $prev in\n    --data|--allow) "
          "COMPREPLY=($(compgen -f -- "
          "\"$cur\")); return ;;\n    esac\n    local words\n    case $cmd in\n",
        out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "    %s) words=\"", commands[i].name);
        for (size_t k = 0; k < ww_cli_opts_count; k++) {
            if (ww_cli_opts[k].id & (commands[i].options | WW_OPT_HELP))
                fprintf(out, "--%s ", ww_cli_opts[k].name);
        }
        if (strcmp(commands[i].name, "help") == 0) {
            for (size_t k = 0; k < count; k++)
                fprintf(out, "%s ", commands[k].name);
        }
        fputs("\" ;;\n", out);
    }
    fputs("    *) words=\"", out);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s ", commands[i].name);
    fputs("--help --version\" ;;\n    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"
          "complete -F _ww ww\n",
        out);
}

static void zsh_quoted(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (*text == '[' || *text == ']' || *text == ':')
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

void ww_cli_print_zsh(FILE *out, const struct ww_cli_command *commands, size_t count)
{
    fputs("#compdef ww\n_ww() {\n    local -a commands\n    commands=(\n", out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "        '%s:", commands[i].name);
        zsh_quoted(out, commands[i].summary);
        fputs("'\n", out);
    }
    fputs(
        "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
        "    case $words[2] in\n",
        out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "    %s)\n        _arguments", commands[i].name);
        for (size_t k = 0; k < ww_cli_opts_count; k++) {
            const struct ww_cli_opt *o = &ww_cli_opts[k];
            if (!(o->id & (commands[i].options | WW_OPT_HELP)))
                continue;
            fprintf(out, " \\\n            '%s--%s%s[", o->type == WW_CLI_LIST ? "*" : "", o->name,
                o->type == WW_CLI_FLAG ? "" : "=");
            zsh_quoted(out, o->help);
            fputs("]", out);
            if (o->type != WW_CLI_FLAG)
                fprintf(out, ":%s:%s", o->metavar,
                    strcmp(o->metavar, "DIR") && strcmp(o->metavar, "FILE") ? "" : "_files");
            fputs("'", out);
        }
        fputs("\n        ;;\n", out);
    }
    fputs("    esac\n}\n_ww \"$@\"\n", out);
}

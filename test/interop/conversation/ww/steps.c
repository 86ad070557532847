#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "steps.h"
#include "thing.h"

static const char *const thing_methods[] = {"echo", "fail", "keep", "give", "call", "make", "self", "mirror",
    "later", "go", "sequence", "push", "seen", "live", "canceled", "tail", "promise", "settle", "early",
    "size", "waiting", "hangup"};

static const struct method other_methods[] = {
    {"nomethod", conversation_Thing_ID, 99},
    {"stranger", conversation_Stranger_ID, 0},
    {"base", conversation_Base_ID, 0},
    {"left", conversation_Left_ID, 0},
    {"right", conversation_Right_ID, 0},
    {"put", conversation_Box_ID, 0},
    {"get", conversation_Box_ID, 1},
    {"save", conversation_Saver_ID, 0},
};

const struct method *method_find(const char *name)
{
    static struct method found;
    for (size_t i = 0; i < WW_COUNT_OF(thing_methods); i++)
        if (strcmp(name, thing_methods[i]) == 0) {
            found = (struct method){thing_methods[i], conversation_Thing_ID, (uint16_t)i};
            return &found;
        }
    for (size_t i = 0; i < WW_COUNT_OF(other_methods); i++)
        if (strcmp(name, other_methods[i].name) == 0)
            return &other_methods[i];
    return NULL;
}

static bool option(const char *word, struct step *s)
{
    const char *dots = strstr(word, "..");
    if (strncmp(word, "cap=", 4) == 0) {
        snprintf(s->cap, sizeof s->cap, "%s", word + 4);
    } else if (strncmp(word, "data=", 5) == 0) {
        s->data = strtoll(word + 5, NULL, 10);
    } else if (strncmp(word, "via=", 4) == 0) {
        const struct method *m = method_find(word + 4);
        s->via = m ? m->id : 0;
    } else if (dots) {
        s->from = strtoull(word, NULL, 10);
        s->to = strtoull(dots + 2, NULL, 10);
        s->is_range = true;
    } else {
        return false;
    }
    return true;
}

bool step_parse(const char *line, struct step *ret_step)
{
    struct step *s = ret_step;
    memset(s, 0, sizeof *s);
    s->data = -1;
    snprintf(s->line, sizeof s->line, "%s", line);
    s->text = "";
    const char *at = s->line;
    for (;;) {
        at += strspn(at, " ");
        size_t n = strcspn(at, " ");
        if (n == 0)
            return s->words > 0;
        char word[STEP_CHARS];
        snprintf(word, sizeof word, "%.*s", (int)n, at);
        if (strcmp(word, "=") == 0) {
            s->expected = strtoull(at + 1, NULL, 10);
            s->expects = true;
            return true;
        }
        at += n;
        if (option(word, s))
            continue;
        if (s->words == STEP_WORDS)
            return false;
        memcpy(s->word[s->words++], word, sizeof word);
        if (s->words == 3)
            s->text = at + strspn(at, " ");
    }
}

char **case_read(const char *path, const char *name)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return NULL;
    char **lines = NULL, line[256];
    size_t count = 0;
    bool here = false;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "case ", 5) == 0) {
            size_t n = strcspn(line + 5, " ");
            here = n == strlen(name) && strncmp(line + 5, name, n) == 0;
        } else if (here && strncmp(line, "    ", 4) == 0) {
            char **more = realloc(lines, (count + 2) * sizeof *lines);
            must(more ? 0 : WW_ENOMEM);
            lines = more;
            lines[count++] = strdup(line + 4);
            lines[count] = NULL;
        }
    }
    fclose(f);
    return lines;
}

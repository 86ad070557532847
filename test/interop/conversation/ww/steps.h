/* The shared list of cases, read: each step is a verb, words, and options. */
#ifndef WW_TEST_CONVERSATION_STEPS_H
#define WW_TEST_CONVERSATION_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STEP_WORDS 16
#define STEP_CHARS 32

struct step {
    char line[160];                    /* as it was written */
    const char *text;                  /* what follows the second word: the text of an exception */
    char word[STEP_WORDS][STEP_CHARS]; /* the verb first; without the options */
    size_t words;
    bool is_range, expects; /* A..B; = N */
    uint64_t from, to, expected;
    char cap[STEP_CHARS]; /* cap=NAME; "" without */
    int64_t data;         /* data=N; -1 without */
    uint16_t via;
};

struct method {
    const char *name;
    uint64_t iface;
    uint16_t id;
};

/* NULL: no such method. */
const struct method *method_find(const char *name);
bool step_parse(const char *line, struct step *ret_step);
/* The lines of the case, each without its indentation; NULL-terminated, never freed. NULL: no such case. */
char **case_read(const char *path, const char *name);

#endif

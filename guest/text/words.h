/*
 * A text in words, and what a word may mean: a number, a size, a name, a list. What is typed at the
 * prompt, the hypervisor's options, the module lines of VMs and the arguments of the off-line tool
 * are all read by these rules.
 *
 * Words are separated by blanks and tabs. Where a text knows quotes, "double quotes" keep blanks in
 * a word, and a backslash between them takes the next character as it is.
 */
#pragma once

#include "hv/lib/types.h"

/* Names of VMs, regions and owners: 1 to 31 characters and the terminating zero. */
#define WORD_NAME_SIZE 32
#define WORD_NAME_RULE "a name of 1 to 31 characters A-Z a-z 0-9 . _ - is expected"

/* A piece of somebody's text; not terminated. */
struct word {
        const char *text;
        size_t len;
};

struct word word_of(const char *text);
bool word_is(struct word word, const char *text);

/* The word without the blanks around it. */
struct word word_trim(struct word word);

/* Cut word at the first c: before it and, in *after, behind it. false: there is no c, and *before
 * is the whole word. */
bool word_split(struct word word, char c, struct word *before, struct word *after);

/* The next item of a list that c separates; *rest is the list at first. A list always has an item:
 * one that is empty or ends with c has an empty one. */
bool word_next_item(struct word *rest, char c, struct word *item);

/*
 * The next word of *text, which moves behind it; quotes: keep blanks between double quotes, and
 * leave the quotes in the word. false: there is none, and word is empty.
 */
bool word_next(const char **text, bool quotes, struct word *word);

/* Copy a word without its quotes, terminated, to the word.len + 1 bytes at to. false: the last
 * quote is not closed; what stands behind it was copied. */
bool word_unquote(struct word word, char *to);

/* What a hexadecimal digit stands for; what is none is above 15. */
unsigned word_digit(char c);

/* Read decimal or 0x hexadecimal digits, and leave what follows them in *rest. -EINVAL: there are
 * none; -ERANGE: the number does not fit in 64 bits; then nothing is set. */
must_check int word_digits(struct word word, uint64_t *value, struct word *rest);

/* A word that is nothing but such a number. */
must_check int word_number(struct word word, uint64_t *value);

/* A number that may end with K, M, G or T (either case), for 2^10, 2^20, 2^30 or 2^40. */
must_check int word_size(struct word word, uint64_t *value);

/* What word_size expects, for its result in a message. */
const char *word_size_rule(int err);

/* Whether it obeys WORD_NAME_RULE. */
bool word_is_name(struct word word);

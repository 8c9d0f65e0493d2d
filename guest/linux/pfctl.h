/* What pfctl asks of the control port: requests, their answers, and what JSON they are made of.
 * Each function ends the program with a message where it cannot go on. The protocol:
 * guest/admin/control.h. */
#ifndef PFCTL_H
#define PFCTL_H

#include <stdbool.h>
#include <stddef.h>

enum { FAILED = 1, USAGE = 2, NO_PORT = 3 }; /* exit statuses */

#define ANSWER_MAX 65536

/* The lines of the latest answer without their envelope, each ended by a newline. */
extern char answer[ANSWER_MAX];
extern size_t answer_size;

/* Open the control port: the device of that path, or (NULL) the one that Linux shows. */
void open_port(const char *given);

/* Have the words done, format "json" or "text". Returns the status: 0, or an errno value. */
int request(const char *const *word, int words, const char *format);

/* The next member of a flat object of an answer, its key and its value as text. False: the object
 * has ended; *at is behind it then, at the next one or at the end. */
bool next_member(const char **at, char key[32], char *value, size_t size);

void sleep_ms(long ms);

#endif

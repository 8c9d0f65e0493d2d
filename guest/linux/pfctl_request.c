/* The control port and its protocol; contract in pfctl.h. */
#include "guest/linux/pfctl.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME  "org.permafrost.control"
#define PORTS      "/sys/class/virtio-ports"
#define LINE_SIZE  512 /* of a request */
#define OPEN_TRIES 50  /* of 100 ms: another program may have the port */

static int port = -1;
static unsigned next_id = 1;

/* What has been read of the port and not been looked at. */
static char input[ANSWER_MAX];
static size_t input_size;

char answer[ANSWER_MAX];
size_t answer_size;

void sleep_ms(long ms)
{
        const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

        nanosleep(&time, NULL);
}

/* ---- The port. ---- */

static bool is_control(const char *name)
{
        char path[512], text[64] = "";
        FILE *file;

        snprintf(path, sizeof path, PORTS "/%s/name", name);
        file = fopen(path, "r");
        if (!file)
                return false;
        if (!fgets(text, sizeof text, file))
                text[0] = '\0';
        fclose(file);
        text[strcspn(text, "\n")] = '\0';
        return strcmp(text, PORT_NAME) == 0;
}

static bool find_port(char *path, size_t size)
{
        DIR *folder = opendir(PORTS);
        struct dirent *entry;
        bool found = false;

        while (folder && !found && (entry = readdir(folder)))
                if (entry->d_name[0] != '.' && is_control(entry->d_name)) {
                        snprintf(path, size, "/dev/%s", entry->d_name);
                        found = true;
                }
        if (folder)
                closedir(folder);
        return found;
}

void open_port(const char *given)
{
        char path[300];

        if (given)
                snprintf(path, sizeof path, "%s", given);
        else if (!find_port(path, sizeof path))
                errx(NO_PORT,
                     "this VM has no control port: its line needs the word control, and Linux "
                     "the driver virtio_console");
        for (int i = 0; i < OPEN_TRIES; i++) {
                port = open(path, O_RDWR | O_CLOEXEC);
                if (port >= 0 || errno != EBUSY)
                        break;
                sleep_ms(100);
        }
        if (port < 0 && errno == EBUSY)
                errx(NO_PORT, "%s: another program has the control port open", path);
        if (port < 0)
                err(NO_PORT, "%s", path);
}

static void send_all(const char *text, size_t n)
{
        while (n) {
                ssize_t sent = write(port, text, n);

                if (sent < 0 && errno == EINTR)
                        continue;
                if (sent <= 0)
                        err(FAILED, "the control port cannot be written");
                text += sent;
                n -= (size_t)sent;
        }
}

/* The next line, without its end; it holds until the next call. */
static const char *read_line(void)
{
        static char line[ANSWER_MAX + 1];
        char *end;
        size_t n;

        while (!(end = memchr(input, '\n', input_size))) {
                ssize_t got;

                if (input_size == sizeof input)
                        errx(FAILED, "the control port sends a line without an end");
                got = read(port, input + input_size, sizeof input - input_size);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        err(FAILED, "the control port cannot be read");
                input_size += (size_t)got;
        }
        n = (size_t)(end - input);
        memcpy(line, input, n);
        line[n] = '\0';
        input_size -= n + 1;
        memmove(input, end + 1, input_size);
        return line;
}

/* ---- JSON, as the hypervisor makes it. ---- */

/* The text of a JSON string behind its opening quote; returns what is behind the closing one. */
static const char *unescape(const char *from, char *to, size_t size)
{
        size_t n = 0;

        for (; *from && *from != '"'; from++) {
                char c = *from;

                if (c == '\\' && from[1] == 'u' && strlen(from) >= 6) {
                        char digits[5] = {from[2], from[3], from[4], from[5], 0};

                        c = (char)strtoul(digits, NULL, 16);
                        from += 5;
                } else if (c == '\\' && from[1]) {
                        c = *++from;
                }
                if (n + 1 < size)
                        to[n++] = c;
        }
        to[n] = '\0';
        return *from ? from + 1 : from;
}

bool next_member(const char **at, char key[32], char *value, size_t size)
{
        const char *p = *at;

        p += strspn(p, "{[, ");
        if (*p != '"') {
                *at = p + strcspn(p, "{");
                return false;
        }
        p = unescape(p + 1, key, 32);
        p += strspn(p, ": ");
        if (*p == '"') {
                p = unescape(p + 1, value, size);
        } else {
                size_t n = strcspn(p, ",}]");

                snprintf(value, size, "%.*s", (int)n, p);
                p += n;
        }
        *at = p;
        return true;
}

/* ---- Requests. ---- */

/* Add a word, in quotes where it needs them. False: the request is too long. */
static bool add_word(char *line, const char *word)
{
        size_t n = strlen(line);
        bool plain = *word && !strpbrk(word, " \t\"\\");

        if (n + 2 * strlen(word) + 4 >= LINE_SIZE)
                return false;
        line[n++] = ' ';
        if (!plain)
                line[n++] = '"';
        for (; *word; word++) {
                if (*word == '"' || *word == '\\')
                        line[n++] = '\\';
                line[n++] = *word;
        }
        if (!plain)
                line[n++] = '"';
        line[n] = '\0';
        return true;
}

static void keep(const char *text)
{
        size_t n = strlen(text);

        if (answer_size + n + 2 > sizeof answer)
                errx(FAILED, "the answer is too long");
        memcpy(answer + answer_size, text, n);
        answer_size += n;
        answer[answer_size++] = '\n';
        answer[answer_size] = '\0';
}

/* One line of the answer to id; true: it was the last, with its status. */
static bool take_line(unsigned id, int *status)
{
        static char text[ANSWER_MAX];
        const char *line = read_line(), *rest;
        char head[24];
        size_t n = (size_t)snprintf(head, sizeof head, "{\"id\":%u,", id);

        if (strncmp(line, head, n) != 0 && strncmp(line, "{\"id\":0,", 8) != 0)
                return false; /* of a request that another program has made before */
        rest = strchr(line, ',') + 1;
        if (strncmp(rest, "\"status\":", 9) == 0) {
                *status = atoi(rest + 9);
                return true;
        }
        if (strncmp(rest, "\"error\":\"", 9) == 0) {
                unescape(rest + 9, text, sizeof text);
                errx(FAILED, "%s", text);
        }
        if (strncmp(rest, "\"text\":\"", 8) == 0)
                unescape(rest + 8, text, sizeof text);
        else if (strncmp(rest, "\"out\":", 6) == 0)
                snprintf(text, sizeof text, "%.*s", (int)strlen(rest) - 7, rest + 6);
        else
                return false;
        keep(text);
        return false;
}

int request(const char *const *word, int words, const char *format)
{
        char line[LINE_SIZE + 4];
        unsigned id = next_id++;
        int status = 0;

        snprintf(line, sizeof line, "%u", id);
        for (int i = 0; i < words; i++)
                if (!add_word(line, word[i]))
                        errx(USAGE, "the words are longer than a request may be");
        if (!add_word(line, "-o") || !add_word(line, format))
                errx(USAGE, "the words are longer than a request may be");
        strcat(line, "\n");
        answer_size = 0;
        answer[0] = '\0';
        send_all(line, strlen(line));
        while (!take_line(id, &status))
                ;
        return status;
}

/* Finds the process that has a file mapped, in /proc; contract in in_use.h. */
#include "guest/admin/nvpool/in_use.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest/admin/nvpool/nvpool.h"

/* Has this process a shared, writable mapping of the file? See proc(5), /proc/pid/maps. */
static bool maps_file(const char *pid, const struct stat *file)
{
        char path[64], line[4352];
        bool found = false;
        FILE *maps;

        snprintf(path, sizeof path, "/proc/%.32s/maps", pid);
        maps = fopen(path, "re");
        if (!maps)
                return false;
        while (!found && fgets(line, sizeof line, maps)) {
                unsigned int major_, minor_;
                unsigned long long inode;
                char rights[5];

                found = sscanf(line, "%*x-%*x %4s %*x %x:%x %llu", rights, &major_, &minor_,
                               &inode) == 4 &&
                        strcmp(rights, "rw-s") == 0 && inode == file->st_ino &&
                        makedev(major_, minor_) == file->st_dev;
        }
        fclose(maps);
        return found;
}

static void name_of(const char *pid, char *name, int size)
{
        char path[64];
        FILE *comm;

        snprintf(path, sizeof path, "/proc/%.32s/comm", pid);
        snprintf(name, (size_t)size, "?");
        comm = fopen(path, "re");
        if (!comm)
                return;
        if (fgets(name, size, comm))
                name[strcspn(name, "\n")] = '\0';
        fclose(comm);
}

bool in_use(int fd, const char *path)
{
        const struct dirent *entry;
        struct stat file;
        char name[32];
        bool found = false;
        DIR *proc;

        if (fstat(fd, &file) || !S_ISREG(file.st_mode))
                return false;
        proc = opendir("/proc");
        if (!proc)
                return false;
        while (!found && (entry = readdir(proc))) {
                long pid = strtol(entry->d_name, NULL, 10);

                found = pid > 0 && pid != (long)getpid() && maps_file(entry->d_name, &file);
                if (found) {
                        name_of(entry->d_name, name, sizeof name);
                        tool_say("%s: in use: process %ld (%s) has it mapped", path, pid, name);
                }
        }
        closedir(proc);
        return found;
}

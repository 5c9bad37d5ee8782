/* Counts the calls that change files beneath given folders, and lets the n-th one fail, be cut short, or kill the process.

   Loaded by LD_PRELOAD; does nothing until shim_arm is called. The log lies in shared memory, so that a parent can read it
   after its child was killed. See shim.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define RECORDS 8192
#define RECORD_BYTES 128
#define FOLDERS 8

enum { KILL = 1, ONCE = 2, FROM = 3, SHORT = 4 };

struct log {
    long count;  /* calls seen */
    long hits;   /* calls that were made to fail */
    char records[RECORDS][RECORD_BYTES];
};

static struct log *shared_log;
static int armed, fault_mode, fault_errno;
static long fault_number;
static char folders[FOLDERS][PATH_MAX];
static int n_folders;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

void shim_new_log(void) {
    shared_log = mmap(NULL, sizeof(struct log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared_log == MAP_FAILED) abort();
}

void shim_drop_log(void) {
    munmap(shared_log, sizeof(struct log));
    shared_log = NULL;
}

long shim_count(void) { return shared_log->count; }
long shim_hits(void) { return shared_log->hits; }
const char *shim_record(long number) { return shared_log->records[(number - 1) % RECORDS]; }

/* Folders are absolute and separated by colons; the number counts from 1. */
void shim_arm(const char *paths, int mode, int error, long number) {
    char copy[FOLDERS * PATH_MAX];
    n_folders = 0;
    snprintf(copy, sizeof copy, "%s", paths);
    for (char *state, *path = strtok_r(copy, ":", &state); path && n_folders < FOLDERS; path = strtok_r(NULL, ":", &state))
        snprintf(folders[n_folders++], PATH_MAX, "%s", path);
    fault_mode = mode, fault_errno = error, fault_number = number;
    armed = 1;
}

static int is_inside(const char *path) {
    for (int i = 0; i < n_folders; i++) {
        size_t length = strlen(folders[i]);
        if (!strncmp(path, folders[i], length) && (path[length] == '/' || !path[length])) return 1;
    }
    return 0;
}

static int path_of(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    if (length < 0) return 0;
    out[length] = 0;
    return 1;
}

static void absolute(int dirfd, const char *path, char *out) {
    char folder[PATH_MAX];
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return;
    }
    if (dirfd == AT_FDCWD ? !getcwd(folder, sizeof folder) : !path_of(dirfd, folder)) folder[0] = 0;
    if (snprintf(out, PATH_MAX, "%s/%s", folder, path) >= PATH_MAX) out[PATH_MAX - 1] = 0;
}

/* What a full disk or a read-only one refuses. */
static int applies(const char *call) {
    if (fault_mode == KILL) return 1;
    if (fault_mode == SHORT) return call[0] == 'w';
    if (fault_errno == ENOSPC) return strcmp(call, "unlink") && strcmp(call, "rmdir");
    return 1;
}

/* Note a call; 1 if it is to fail. Saves and restores errno. */
static int meets(const char *call, const char *path) {
    int error = errno, fails = 0;
    if (is_inside(path)) {
        long number = __atomic_add_fetch(&shared_log->count, 1, __ATOMIC_SEQ_CST);
        size_t length = strlen(path), most = RECORD_BYTES - 16;
        snprintf(shared_log->records[(number - 1) % RECORDS], RECORD_BYTES, "%s %s", call,
                 length > most ? path + length - most : path);
        if ((fault_mode == FROM ? number >= fault_number : number == fault_number) && applies(call)) {
            __atomic_add_fetch(&shared_log->hits, 1, __ATOMIC_SEQ_CST);
            if (fault_mode == KILL) syscall(SYS_kill, getpid(), SIGKILL);
            fails = 1;
        }
    }
    errno = error;
    return fails;
}

static int meets_fd(const char *call, int fd) {
    char path[PATH_MAX];
    int error = errno;
    int known = path_of(fd, path);
    errno = error;
    return known && meets(call, path);
}

static int meets_at(const char *call, int dirfd, const char *name) {
    char path[PATH_MAX];
    int error = errno;
    absolute(dirfd, name, path);
    errno = error;
    return meets(call, path);
}

#define FAIL do { errno = fault_errno; return -1; } while (0)

/* Writes: SHORT writes half. */
#define WRITE(fd, count, whole, half) \
    if (armed && meets_fd("write", fd)) { \
        if (fault_mode != SHORT) FAIL; \
        if ((count) > 1) return half; \
    } \
    return whole

ssize_t write(int fd, const void *data, size_t count) {
    REAL(write);
    WRITE(fd, count, real(fd, data, count), real(fd, data, count / 2));
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) {
    REAL(pwrite);
    WRITE(fd, count, real(fd, data, count, offset), real(fd, data, count / 2, offset));
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset) {
    REAL(pwrite64);
    WRITE(fd, count, real(fd, data, count, offset), real(fd, data, count / 2, offset));
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    REAL(writev);
    WRITE(fd, pieces[0].iov_len, real(fd, pieces, count), write(fd, pieces[0].iov_base, pieces[0].iov_len / 2));
}

ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    REAL(sendfile);
    WRITE(out, count, real(out, in, offset, count), real(out, in, offset, count / 2));
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
    REAL(sendfile64);
    WRITE(out, count, real(out, in, offset, count), real(out, in, offset, count / 2));
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t count, unsigned flags) {
    REAL(copy_file_range);
    WRITE(out, count, real(in, from, out, to, count, flags), real(in, from, out, to, count / 2, flags));
}

/* Opening counts where it makes, empties or opens a file for writing. */
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }
#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & (O_CREAT | O_TRUNC)))
#define OPEN(dirfd, path, flags) \
    if (armed && WRITES(flags) && meets_at("open", dirfd, path) && fault_mode != SHORT) FAIL

int open(const char *path, int flags, ...) {
    REAL(open);
    MODE(flags);
    OPEN(AT_FDCWD, path, flags);
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    REAL(open64);
    MODE(flags);
    OPEN(AT_FDCWD, path, flags);
    return real(path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...) {
    REAL(openat);
    MODE(flags);
    OPEN(dirfd, path, flags);
    return real(dirfd, path, flags, mode);
}

int openat64(int dirfd, const char *path, int flags, ...) {
    REAL(openat64);
    MODE(flags);
    OPEN(dirfd, path, flags);
    return real(dirfd, path, flags, mode);
}

#define FD_CALL(name) \
    int name(int fd) { \
        REAL(name); \
        if (armed && meets_fd(#name, fd) && fault_mode != SHORT) FAIL; \
        return real(fd); \
    }
FD_CALL(fsync)
FD_CALL(fdatasync)

int ftruncate(int fd, off_t length) {
    REAL(ftruncate);
    if (armed && meets_fd("ftruncate", fd) && fault_mode != SHORT) FAIL;
    return real(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    if (armed && meets_fd("ftruncate", fd) && fault_mode != SHORT) FAIL;
    return real(fd, length);
}

#define PATH_CALL(name, call, parameters, dirfd, path, arguments) \
    int name parameters { \
        REAL(name); \
        if (armed && meets_at(call, dirfd, path) && fault_mode != SHORT) FAIL; \
        return real arguments; \
    }
PATH_CALL(truncate, "truncate", (const char *path, off_t length), AT_FDCWD, path, (path, length))
PATH_CALL(truncate64, "truncate", (const char *path, off64_t length), AT_FDCWD, path, (path, length))
PATH_CALL(mkdir, "mkdir", (const char *path, mode_t mode), AT_FDCWD, path, (path, mode))
PATH_CALL(mkdirat, "mkdir", (int dirfd, const char *path, mode_t mode), dirfd, path, (dirfd, path, mode))
PATH_CALL(unlink, "unlink", (const char *path), AT_FDCWD, path, (path))
PATH_CALL(unlinkat, "unlink", (int dirfd, const char *path, int flags), dirfd, path, (dirfd, path, flags))
PATH_CALL(rmdir, "rmdir", (const char *path), AT_FDCWD, path, (path))
PATH_CALL(rename, "rename", (const char *from, const char *to), AT_FDCWD, to, (from, to))
PATH_CALL(renameat, "rename", (int a, const char *from, int b, const char *to), b, to, (a, from, b, to))
PATH_CALL(renameat2, "rename", (int a, const char *from, int b, const char *to, unsigned flags), b, to, (a, from, b, to, flags))
PATH_CALL(link, "link", (const char *from, const char *to), AT_FDCWD, to, (from, to))
PATH_CALL(linkat, "link", (int a, const char *from, int b, const char *to, int flags), b, to, (a, from, b, to, flags))
PATH_CALL(symlink, "symlink", (const char *from, const char *to), AT_FDCWD, to, (from, to))
PATH_CALL(symlinkat, "symlink", (const char *from, int b, const char *to), b, to, (from, b, to))
PATH_CALL(chmod, "chmod", (const char *path, mode_t mode), AT_FDCWD, path, (path, mode))

int fchmod(int fd, mode_t mode) {
    REAL(fchmod);
    if (armed && meets_fd("chmod", fd) && fault_mode != SHORT) FAIL;
    return real(fd, mode);
}

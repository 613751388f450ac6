// Two arenas. What an export allocates lasts until its result has been read; what a media leg keeps lasts as long as the
// instance. Control exports run in a fresh instance each time, so only a leg's messages ever lead to rewinding.
#include <stdlib.h>
#include <string.h>

#include "strowger.h"

// Every type of the contract fits this alignment.
#define ALIGNMENT 16
// Large enough that a carrier's message seldom needs a second piece, small beside the memory of an instance.
#define PIECE_BYTES (64 * 1024)

typedef struct piece {
  struct piece *next;
  size_t size, used;
  _Alignas(ALIGNMENT) uint8_t bytes[];
} piece;

typedef struct arena {
  piece *first, *current;
} arena;

static arena passing, kept;

static piece *new_piece(size_t size);

static void *take(arena *arena, size_t size) {
  size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
  while (!arena->current || arena->current->size - arena->current->used < size) {
    piece *next = arena->current ? arena->current->next : NULL;
    if (!next) {
      next = new_piece(size > PIECE_BYTES ? size : PIECE_BYTES);
      if (arena->current) arena->current->next = next; else arena->first = next;
    }
    next->used = 0;
    arena->current = next;
  }
  void *found = arena->current->bytes + arena->current->used;
  arena->current->used += size;
  return found;
}

void *st_alloc(size_t size) { return memset(take(&passing, size), 0, size); }

void *st_keep(size_t size) { return memset(take(&kept, size), 0, size); }

void *st_copy(const void *bytes, size_t size) {
  void *copy = take(&passing, size);
  return size ? memcpy(copy, bytes, size) : copy;
}

void st_rewind(void) {
  passing.current = passing.first;
  if (passing.first) passing.first->used = 0;
}

#ifdef __wasm__

#define PAGE_BYTES 65536

// Straight from the linear memory; what the runtime refuses ends the invocation.
static piece *new_piece(size_t size) {
  size_t pages = (sizeof(piece) + size + PAGE_BYTES - 1) / PAGE_BYTES;
  size_t page = __builtin_wasm_memory_grow(0, pages);
  if (page == (size_t)-1) __builtin_trap();
  piece *piece = (void *)(page * PAGE_BYTES);
  piece->next = NULL;
  piece->size = pages * PAGE_BYTES - sizeof *piece;
  piece->used = 0;
  return piece;
}

// In place of the C library's, so that everything lies in the arena: what the runtime hands in, what an author's library
// allocates. A block remembers its size for `realloc`.
void *malloc(size_t size) {
  if (size > SIZE_MAX - 2 * ALIGNMENT) return NULL;
  uint8_t *block = take(&passing, size + ALIGNMENT);
  memcpy(block, &size, sizeof size);
  return block + ALIGNMENT;
}

void *calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
  void *block = malloc(bytes);
  return block ? memset(block, 0, bytes) : NULL;
}

void *realloc(void *old, size_t size) {
  size_t old_size = 0;
  if (old) memcpy(&old_size, (uint8_t *)old - ALIGNMENT, sizeof old_size);
  void *block = malloc(size);
  if (block && old) memcpy(block, old, old_size < size ? old_size : size);
  return block;
}

void free(void *block) { (void)block; }

// The generated code declares these weak, so that they can be replaced.

__attribute__((__export_name__("cabi_realloc")))
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  if (size == 0) return (void *)align;
  void *block = take(&passing, size);
  if (old) memcpy(block, old, old_size < size ? old_size : size);
  return block;
}

// A leg lives on when its message has been dealt with, and everything that this took is over.

__attribute__((__export_name__("cabi_post_strowger:provider/media@0.1.0#[method]leg.deserialize-frame")))
void __wasm_export_exports_media_method_leg_deserialize_frame_post_return(uint8_t *result) {
  (void)result;
  st_rewind();
}

__attribute__((__export_name__("cabi_post_strowger:provider/media@0.1.0#[method]leg.serialize-frame")))
void __wasm_export_exports_media_method_leg_serialize_frame_post_return(uint8_t *result) {
  (void)result;
  st_rewind();
}

#else

static piece *new_piece(size_t size) {
  piece *piece = calloc(1, sizeof *piece + size);
  if (!piece) abort();
  piece->size = size;
  return piece;
}

#endif

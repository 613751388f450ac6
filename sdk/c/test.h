// Unit tests of a provider in C, natively: no runtime and no WebAssembly. A test is a function without arguments; `main`
// runs them with RUN and returns `st_report()`.
#ifndef STROWGER_TEST_H
#define STROWGER_TEST_H

#include <stdio.h>

#include "strowger.h"

static int st_failures, st_checks;

// Counts, and says where it does not hold.
#define CHECK(condition) \
  do { \
    st_checks++; \
    if (!(condition)) { \
      st_failures++; \
      fprintf(stderr, "%s:%d: %s: does not hold: %s\n", __FILE__, __LINE__, __func__, #condition); \
    } \
  } while (0)
// Two texts are the same; shows both when they are not.
#define CHECK_TEXT(found, expected) st_check_text(__FILE__, __LINE__, __func__, (found), (expected))
#define RUN(test) (st_rewind(), test())

static inline void st_check_text(const char *file, int line, const char *test, st_string_t found, st_string_t expected) {
  st_checks++;
  if (st_equal(found, expected)) return;
  st_failures++;
  fprintf(stderr, "%s:%d: %s:\n  found    %.*s\n  expected %.*s\n", file, line, test, (int)found.len,
          (const char *)found.ptr, (int)expected.len, (const char *)expected.ptr);
}

// The status of the process.
static inline int st_report(void) {
  printf("%d of %d checks hold\n", st_checks - st_failures, st_checks);
  return st_failures > 0;
}

// What an operation asked for, when it was interrupted; NULL when it failed.
static inline const st_request_t *st_asked(const st_interruption_t *interruption) {
  bool is_http = interruption->tag == ST_INTERRUPTION_PERFORM && interruption->val.perform.tag == ST_EFFECT_HTTP;
  return is_http ? &interruption->val.perform.val.http : NULL;
}

// The carrier's answer, as the reply to a request.
static inline st_reply_t st_answers(uint16_t status, st_string_t body) {
  return (st_reply_t){.tag = ST_REPLY_HTTP, .val = {.http = {.status = status, .body = st_bytes(body)}}};
}

// A resource's handle stands for a leg here: tests work on the leg that was made last.
static media_leg_t *st_last_leg;

media_own_leg_t media_leg_new(media_leg_t *leg) {
  st_last_leg = leg;
  return (media_own_leg_t){1};
}

#endif

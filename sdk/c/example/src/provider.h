// Example Telecom, the small carrier that every SDK's sample integrates (sdk/README.md). The files follow a call: webhooks.c
// recognises and proves what the carrier posts and reads what it tells, answer.c writes its XML, media.c wraps audio for
// its media socket, calling.c and numbers.c use its REST API through api.c.
#ifndef PROVIDER_H
#define PROVIDER_H

#include "strowger.h"

// What every operation gets. The two secrets are references that stand for them.
typedef struct config {
  st_string_t account, api_key, signing_secret;
} config;

// Reads the configuration, or fails.
bool read_config(st_io_t *io, const st_json_t *text, config *config);

// The carrier's words for what a call is doing.
bool read_status(st_string_t word, st_call_status_t *status);
// A member that is a whole number of 32 bits, times 1000; absent otherwise.
st_option_u64_t read_duration_ms(yyjson_val *object, const char *name);
// The JSON object in a body, or NULL.
yyjson_val *read_object(st_list_u8_t body);

// Sends a request below the account, `path` behind it and escaped already. A document that is empty is no body.
bool send_request(st_io_t *io, const config *config, st_string_t method, st_string_t path, st_string_t document,
                  st_response_t *answer);
// The failure that an answer's status stands for, unless an operation knows better. Always false.
bool refused(st_io_t *io, const st_response_t *answer);
// The carrier answered with what it does not document. Always false.
bool unusable(st_io_t *io, const st_response_t *answer);
// The carrier does not know the call. Always false.
bool call_not_found(st_io_t *io);

#endif

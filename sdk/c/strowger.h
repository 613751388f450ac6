// Write a Strowger provider in C: what the generated bindings (st.h) leave to do.
//
// Memory: whatever is allocated while an export runs is gone when the runtime has read what it returned. Nothing is ever
// freed, `free` does nothing, and a literal is as good as an allocation. Only a media leg lives longer than one call: what
// it has to remember is kept with `st_keep`.
//
// Texts (`st_string_t`) have a length and no terminator. Helpers whose result is `bool` say whether there was such a thing;
// operations return `false` when they are interrupted, and `TRY` passes that on, so that effects read as straight-line code:
//
//     TRY(st_http(&io, request, &response));
#ifndef STROWGER_H
#define STROWGER_H

#include "st.h"
#include "yyjson.h"

// ---- memory -------------------------------------------------------------------------------------------------------

// Zeroed memory that lasts until the export's result has been read.
void *st_alloc(size_t size);
// Zeroed memory that lasts as long as the component's instance: for what a media leg remembers between messages.
void *st_keep(size_t size);
// What `st_alloc` gave so far is free to be used again. The runtime's side does this after each message of a leg; a unit
// test may.
void st_rewind(void);
// A copy that lasts until the export's result has been read.
void *st_copy(const void *bytes, size_t size);

// ---- texts and bytes ----------------------------------------------------------------------------------------------

// A text from a literal: T("POST"). Also in static initialisers.
#define T(literal) ((st_string_t){(uint8_t *)("" literal ""), sizeof(literal) - 1})
// A text in one piece from several: st_join(T("calls/"), id).
#define st_join(...) \
  st_join_texts((const st_string_t[]){__VA_ARGS__}, sizeof((const st_string_t[]){__VA_ARGS__}) / sizeof(st_string_t))
// The items as a list of the named type, in one copy: ST_LIST(st_list_header_t, header, header). At least one item; the
// empty list is {0}.
#define ST_LIST(list, ...) \
  ((list){st_copy((ST_ITEM(list)[]){__VA_ARGS__}, sizeof((ST_ITEM(list)[]){__VA_ARGS__})), \
          sizeof((ST_ITEM(list)[]){__VA_ARGS__}) / sizeof(ST_ITEM(list))})
#define ST_ITEM(list) __typeof__(*((list){0}).ptr)

st_string_t st_text(const char *terminated);
st_string_t st_join_texts(const st_string_t *texts, size_t count);
st_string_t st_keep_text(st_string_t text);
// In decimal.
st_string_t st_number(uint64_t number);
// A decimal number without sign that fits into 64 bits, and nothing else.
bool st_read_number(st_string_t text, uint64_t *number);
bool st_equal(st_string_t one, st_string_t other);
// Without regard to the case of ASCII letters, as names of headers are compared.
bool st_equal_ignoring_case(st_string_t one, st_string_t other);
bool st_starts_with(st_string_t text, st_string_t prefix);
// The first characters, at most so many.
st_string_t st_cut(st_string_t text, size_t characters);
// ASCII letters in lower case.
st_string_t st_lower(st_string_t text);
// The text's UTF-8 bytes, not copied.
st_list_u8_t st_bytes(st_string_t text);
st_option_string_t st_some(st_string_t text);
extern const st_option_string_t ST_NO_TEXT;

// ---- encodings ----------------------------------------------------------------------------------------------------

// RFC 4648 §4, padded.
st_string_t st_base64(st_list_u8_t bytes);
// Exactly what `st_base64` writes; anything else is refused.
bool st_read_base64(st_string_t text, st_list_u8_t *bytes);
// Digits in either case.
bool st_read_hex(st_string_t text, st_list_u8_t *bytes);
// `& < > " '` as the five entities of XML, for text and attributes. Characters that XML 1.0 cannot have become U+FFFD.
st_string_t st_xml(st_string_t text);
// RFC 3986: everything but unreserved characters as %XX, for one segment of a path or one value of a query.
st_string_t st_percent(st_string_t text);

// ---- JSON: reading and writing over yyjson, whose whole API is there as well -----------------------------------------

// The root of a document, or NULL when it is none. Strict: RFC 8259 and valid UTF-8.
yyjson_val *st_json(st_string_t text);
// The member of an object, the last one of that name; NULL when there is none, or the object is none.
yyjson_val *st_json_member(yyjson_val *object, const char *name);
// The member when it is of that type; false otherwise.
bool st_json_text(yyjson_val *object, const char *name, st_string_t *text);
bool st_json_number(yyjson_val *object, const char *name, uint64_t *number);
// Absent and null are no text; what is no text either is refused.
bool st_json_optional_text(yyjson_val *object, const char *name, st_option_string_t *text);

// An object that is being written, its members in the order in which they are put.
typedef struct st_object_t {
  yyjson_mut_doc *document;
  yyjson_mut_val *root;
} st_object_t;

st_object_t st_object(void);
void st_put_text(st_object_t *object, const char *name, st_string_t text);
void st_put_number(st_object_t *object, const char *name, uint64_t number);
void st_put_bool(st_object_t *object, const char *name, bool value);
void st_put_null(st_object_t *object, const char *name);
// The document, compact.
st_string_t st_write(const st_object_t *object);

// ---- HTTP ---------------------------------------------------------------------------------------------------------

// The first header of this name.
bool st_header(const st_webhook_t *webhook, st_string_t name, st_string_t *value);
// A response to a webhook; an empty content type is a response without headers.
st_response_t st_respond(uint16_t status, st_string_t content_type, st_string_t body);
// A request without body, credentials and headers.
st_request_t st_request(st_string_t method, st_string_t url);
// The secret may be, and should be, a sealed reference.
void st_bearer(st_request_t *request, st_string_t secret);
void st_basic(st_request_t *request, st_string_t user, st_string_t secret);
// Sets the body, and adds its content type.
void st_json_body(st_request_t *request, st_string_t document);
void st_add_header(st_request_t *request, st_string_t name, st_string_t value);
// The URL of one of the call's routes, by the route's name.
bool st_route_url(const st_call_t *call, st_string_t name, st_string_t *url);

// ---- proofs -------------------------------------------------------------------------------------------------------

// RFC 2104. `sealed` is a sealed reference whose secret's UTF-8 bytes are the key; `expected` is the decoded signature.
webhook_check_t st_hmac(webhook_hash_t hash, st_string_t sealed, st_list_u8_t message, st_list_u8_t expected);
// The carrier presents the secret itself.
webhook_check_t st_equals(st_string_t sealed, st_list_u8_t presented);
// Holds for the first webhook with this key, and for its exact repetitions; at most 24 hours.
webhook_check_t st_once(st_string_t key, uint32_t ttl_ms);
// All of `checks` together are one way to be genuine.
webhook_proof_t st_proof(st_string_t label, webhook_list_check_t checks);
#define ST_CHECKS(...) ST_LIST(webhook_list_check_t, __VA_ARGS__)

// ---- effects ------------------------------------------------------------------------------------------------------

// The effects of one operation. The operation runs from its beginning each time, with the replies to what it asked for so
// far: the first effect without a reply interrupts it. So write it deterministically; there is no clock and no chance.
typedef struct st_io_t {
  const st_reply_t *replies;
  size_t count, next;
  st_interruption_t *interruption;
} st_io_t;

// Of an export's parameters: st_io_t io = ST_IO(replies, err);
#define ST_IO(list, err) ((st_io_t){(list)->ptr, (list)->len, 0, (err)})
// Leaves the operation when its step was interrupted.
#define TRY(step) do { if (!(step)) return false; } while (0)

// The configuration that `descriptor_config_loader` made.
bool st_config(st_io_t *io, const st_json_t *text, yyjson_val **config);
// The carrier's response, whatever its status. That none arrived is a failure of the carrier.
bool st_http(st_io_t *io, st_request_t request, st_response_t *response);
// The same for an operation that can go on without a response.
bool st_try_http(st_io_t *io, st_request_t request, st_response_t *response, bool *reached);
// What was kept under the key; `is_some` is false when there is nothing.
bool st_load(st_io_t *io, st_string_t key, st_option_json_t *value);
// Keeps a JSON document of at most 16 KiB, for at most 24 hours.
bool st_save(st_io_t *io, st_string_t key, st_json_t value, uint32_t ttl_ms);
// Succeeds for the first who asks.
bool st_claim(st_io_t *io, st_string_t key, uint32_t ttl_ms, bool *first);
// The end of an operation: interrupted when there are replies to effects that it did not ask for this time.
bool st_finished(st_io_t *io);

// Always false, so that it can be returned: the operation failed. `code` in kebab case; `message` is one sentence for the
// user, without secrets and numbers.
bool st_fail(st_io_t *io, st_failure_t failure);
// The credentials or settings cannot work until the user changes them.
st_failure_t st_configuration_failure(st_string_t code, st_string_t message);
// The account has no balance, or hit a limit.
st_failure_t st_quota_failure(st_string_t code, st_string_t message);
// The carrier is down, or answered something that it does not document; the same may succeed later.
st_failure_t st_carrier_failure(st_string_t code, st_string_t message);
// What was asked cannot be done.
st_failure_t st_request_failure(st_string_t code, st_string_t message);
// The carrier cannot do that.
st_failure_t st_unsupported_failure(st_string_t code, st_string_t message);

// ---- media --------------------------------------------------------------------------------------------------------

media_media_event_t st_audio(st_list_u8_t payload);
// What was wrong with a message, at most 100 characters, never its content.
media_media_event_t st_malformed(st_string_t what);
// One event, or one message, as the list that the exports return.
media_list_media_event_t st_event(media_media_event_t event);
media_list_message_t st_text_message(st_string_t text);
media_list_message_t st_binary_message(st_list_u8_t bytes);

#endif

#include "strowger.h"

#include <string.h>

const st_option_string_t ST_NO_TEXT = {false, {NULL, 0}};

// ---- texts and bytes ----------------------------------------------------------------------------------------------

st_string_t st_text(const char *terminated) { return (st_string_t){(uint8_t *)terminated, strlen(terminated)}; }

st_string_t st_join_texts(const st_string_t *texts, size_t count) {
  size_t len = 0;
  for (size_t i = 0; i < count; i++) len += texts[i].len;
  st_string_t joined = {st_alloc(len), 0};
  for (size_t i = 0; i < count; i++) {
    if (texts[i].len) memcpy(joined.ptr + joined.len, texts[i].ptr, texts[i].len);
    joined.len += texts[i].len;
  }
  return joined;
}

st_string_t st_keep_text(st_string_t text) {
  uint8_t *kept = st_keep(text.len);
  if (text.len) memcpy(kept, text.ptr, text.len);
  return (st_string_t){kept, text.len};
}

st_string_t st_number(uint64_t number) {
  uint8_t digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (uint8_t)('0' + number % 10);
  while (number /= 10);
  return (st_string_t){st_copy(digits + at, sizeof digits - at), sizeof digits - at};
}

bool st_read_number(st_string_t text, uint64_t *number) {
  uint64_t sum = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
    uint64_t digit = (uint64_t)(text.ptr[i] - '0');
    if (sum > (UINT64_MAX - digit) / 10) return false;
    sum = sum * 10 + digit;
  }
  *number = sum;
  return text.len > 0;
}

bool st_equal(st_string_t one, st_string_t other) {
  return one.len == other.len && (one.len == 0 || memcmp(one.ptr, other.ptr, one.len) == 0);
}

static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte; }

bool st_equal_ignoring_case(st_string_t one, st_string_t other) {
  if (one.len != other.len) return false;
  for (size_t i = 0; i < one.len; i++) {
    if (lower(one.ptr[i]) != lower(other.ptr[i])) return false;
  }
  return true;
}

bool st_starts_with(st_string_t text, st_string_t prefix) {
  return text.len >= prefix.len && st_equal((st_string_t){text.ptr, prefix.len}, prefix);
}

st_string_t st_cut(st_string_t text, size_t characters) {
  size_t len = 0;
  // A character begins with any byte but a continuation byte of UTF-8.
  while (len < text.len && ((text.ptr[len] & 0xC0) == 0x80 || characters-- > 0)) len++;
  return (st_string_t){text.ptr, len};
}

st_string_t st_lower(st_string_t text) {
  uint8_t *copy = st_copy(text.ptr, text.len);
  for (size_t i = 0; i < text.len; i++) copy[i] = lower(copy[i]);
  return (st_string_t){copy, text.len};
}

st_list_u8_t st_bytes(st_string_t text) { return (st_list_u8_t){text.ptr, text.len}; }

st_option_string_t st_some(st_string_t text) { return (st_option_string_t){true, text}; }

// ---- encodings ----------------------------------------------------------------------------------------------------

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

st_string_t st_base64(st_list_u8_t bytes) {
  st_string_t text = {st_alloc((bytes.len + 2) / 3 * 4), 0};
  for (size_t i = 0; i < bytes.len; i += 3) {
    size_t left = bytes.len - i;
    uint32_t three = (uint32_t)bytes.ptr[i] << 16 | (left > 1 ? (uint32_t)bytes.ptr[i + 1] << 8 : 0) |
                     (left > 2 ? bytes.ptr[i + 2] : 0);
    text.ptr[text.len++] = (uint8_t)BASE64[three >> 18];
    text.ptr[text.len++] = (uint8_t)BASE64[three >> 12 & 63];
    text.ptr[text.len++] = (uint8_t)(left > 1 ? BASE64[three >> 6 & 63] : '=');
    text.ptr[text.len++] = (uint8_t)(left > 2 ? BASE64[three & 63] : '=');
  }
  return text;
}

static int base64_digit(uint8_t byte) {
  if (byte >= 'A' && byte <= 'Z') return byte - 'A';
  if (byte >= 'a' && byte <= 'z') return byte - 'a' + 26;
  if (byte >= '0' && byte <= '9') return byte - '0' + 52;
  return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

bool st_read_base64(st_string_t text, st_list_u8_t *bytes) {
  if (text.len % 4) return false;
  size_t padding = 0;
  while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=') padding++;
  uint8_t *out = st_alloc(text.len / 4 * 3);
  size_t len = 0;
  for (size_t i = 0; i < text.len; i += 4) {
    size_t digits = i + 4 == text.len ? 4 - padding : 4;
    uint32_t three = 0;
    for (size_t n = 0; n < 4; n++) {
      int digit = n < digits ? base64_digit(text.ptr[i + n]) : 0;
      if (digit < 0) return false;
      three = three << 6 | (uint32_t)digit;
    }
    // Bits that stand for no byte are zero, so that every sequence of bytes has one spelling.
    if ((digits == 2 && three & 0xffff) || (digits == 3 && three & 0xff)) return false;
    for (size_t n = 0; n + 1 < digits; n++) out[len++] = (uint8_t)(three >> (16 - 8 * n));
  }
  *bytes = (st_list_u8_t){out, len};
  return true;
}

static int hex_digit(uint8_t byte) {
  byte = lower(byte);
  if (byte >= '0' && byte <= '9') return byte - '0';
  return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

bool st_read_hex(st_string_t text, st_list_u8_t *bytes) {
  if (text.len % 2) return false;
  uint8_t *out = st_alloc(text.len / 2);
  for (size_t i = 0; i < text.len; i += 2) {
    int high = hex_digit(text.ptr[i]), low = hex_digit(text.ptr[i + 1]);
    if (high < 0 || low < 0) return false;
    out[i / 2] = (uint8_t)(high << 4 | low);
  }
  *bytes = (st_list_u8_t){out, text.len / 2};
  return true;
}

static st_string_t xml_entity(uint8_t byte) {
  switch (byte) {
    case '&': return T("&amp;");
    case '<': return T("&lt;");
    case '>': return T("&gt;");
    case '"': return T("&quot;");
    case '\'': return T("&apos;");
    case '\t': case '\n': case '\r': return (st_string_t){0};
    default: return byte < 0x20 ? T("\xEF\xBF\xBD") : (st_string_t){0};
  }
}

st_string_t st_xml(st_string_t text) {
  // The longest entity has six bytes.
  st_string_t escaped = {st_alloc(text.len * 6), 0};
  for (size_t i = 0; i < text.len; i++) {
    st_string_t entity = xml_entity(text.ptr[i]);
    if (entity.len) memcpy(escaped.ptr + escaped.len, entity.ptr, entity.len);
    else escaped.ptr[escaped.len] = text.ptr[i];
    escaped.len += entity.len ? entity.len : 1;
  }
  return escaped;
}

static bool is_unreserved(uint8_t byte) {
  uint8_t letter = lower(byte);
  return (letter >= 'a' && letter <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' ||
         byte == '~';
}

st_string_t st_percent(st_string_t text) {
  static const char HEX[] = "0123456789ABCDEF";
  st_string_t escaped = {st_alloc(text.len * 3), 0};
  for (size_t i = 0; i < text.len; i++) {
    uint8_t byte = text.ptr[i];
    if (is_unreserved(byte)) {
      escaped.ptr[escaped.len++] = byte;
    } else {
      escaped.ptr[escaped.len++] = '%';
      escaped.ptr[escaped.len++] = (uint8_t)HEX[byte >> 4];
      escaped.ptr[escaped.len++] = (uint8_t)HEX[byte & 15];
    }
  }
  return escaped;
}

// ---- JSON ---------------------------------------------------------------------------------------------------------

static void *json_malloc(void *context, size_t size) {
  (void)context;
  return st_alloc(size);
}

static void *json_realloc(void *context, void *old, size_t old_size, size_t size) {
  (void)context;
  void *block = st_alloc(size);
  return memcpy(block, old, old_size < size ? old_size : size);
}

static void json_free(void *context, void *block) { (void)context, (void)block; }

static const yyjson_alc JSON_ARENA = {json_malloc, json_realloc, json_free, NULL};

yyjson_val *st_json(st_string_t text) {
  yyjson_doc *document = yyjson_read_opts((char *)text.ptr, text.len, YYJSON_READ_NOFLAG, &JSON_ARENA, NULL);
  return yyjson_doc_get_root(document);
}

// The last one, as most readers of JSON have it: two readings of a signed message would be two messages.
yyjson_val *st_json_member(yyjson_val *object, const char *name) {
  size_t len = strlen(name), index, count;
  yyjson_val *found = NULL, *key, *value;
  yyjson_obj_foreach(object, index, count, key, value) {
    if (yyjson_equals_strn(key, name, len)) found = value;
  }
  return found;
}

bool st_json_text(yyjson_val *object, const char *name, st_string_t *text) {
  yyjson_val *member = st_json_member(object, name);
  if (!yyjson_is_str(member)) return false;
  *text = (st_string_t){(uint8_t *)yyjson_get_str(member), yyjson_get_len(member)};
  return true;
}

bool st_json_number(yyjson_val *object, const char *name, uint64_t *number) {
  yyjson_val *member = st_json_member(object, name);
  if (!yyjson_is_uint(member)) return false;
  *number = yyjson_get_uint(member);
  return true;
}

bool st_json_optional_text(yyjson_val *object, const char *name, st_option_string_t *text) {
  yyjson_val *member = st_json_member(object, name);
  *text = ST_NO_TEXT;
  if (!member || yyjson_is_null(member)) return true;
  text->is_some = st_json_text(object, name, &text->val);
  return text->is_some;
}

st_object_t st_object(void) {
  yyjson_mut_doc *document = yyjson_mut_doc_new(&JSON_ARENA);
  yyjson_mut_val *root = yyjson_mut_obj(document);
  yyjson_mut_doc_set_root(document, root);
  return (st_object_t){document, root};
}

void st_put_text(st_object_t *object, const char *name, st_string_t text) {
  // yyjson takes an empty text only with an address.
  const char *bytes = text.len ? (const char *)text.ptr : "";
  yyjson_mut_obj_add_strn(object->document, object->root, name, bytes, text.len);
}

void st_put_number(st_object_t *object, const char *name, uint64_t number) {
  yyjson_mut_obj_add_uint(object->document, object->root, name, number);
}

void st_put_bool(st_object_t *object, const char *name, bool value) {
  yyjson_mut_obj_add_bool(object->document, object->root, name, value);
}

void st_put_null(st_object_t *object, const char *name) {
  yyjson_mut_obj_add_null(object->document, object->root, name);
}

st_string_t st_write(const st_object_t *object) {
  size_t len = 0;
  uint8_t *text = (uint8_t *)yyjson_mut_write_opts(object->document, YYJSON_WRITE_NOFLAG, &JSON_ARENA, &len, NULL);
  // yyjson writes control characters with capital digits; the SDKs of all languages agree on small ones.
  for (size_t i = 0; text && i + 1 < len; i++) {
    if (text[i] != '\\') continue;
    i++;
    for (size_t n = 1; text[i] == 'u' && n <= 4; n++) text[i + n] = lower(text[i + n]);
  }
  return (st_string_t){text, text ? len : 0};
}

// ---- HTTP ---------------------------------------------------------------------------------------------------------

bool st_header(const st_webhook_t *webhook, st_string_t name, st_string_t *value) {
  for (size_t i = 0; i < webhook->headers.len; i++) {
    if (st_equal_ignoring_case(webhook->headers.ptr[i].name, name)) {
      *value = webhook->headers.ptr[i].value;
      return true;
    }
  }
  return false;
}

st_response_t st_respond(uint16_t status, st_string_t content_type, st_string_t body) {
  st_response_t response = {.status = status, .body = st_bytes(body)};
  if (content_type.len) {
    response.headers = ST_LIST(st_list_header_t, (st_header_t){T("content-type"), content_type});
  }
  return response;
}

st_request_t st_request(st_string_t method, st_string_t url) {
  return (st_request_t){.method = method, .url = url, .authorization = {.tag = ST_AUTHORIZATION_NONE}};
}

void st_bearer(st_request_t *request, st_string_t secret) {
  request->authorization = (st_authorization_t){.tag = ST_AUTHORIZATION_BEARER, .val = {.bearer = secret}};
}

void st_basic(st_request_t *request, st_string_t user, st_string_t secret) {
  request->authorization = (st_authorization_t){.tag = ST_AUTHORIZATION_BASIC, .val = {.basic = {user, secret}}};
}

void st_json_body(st_request_t *request, st_string_t document) {
  request->body = st_bytes(document);
  st_add_header(request, T("content-type"), T("application/json"));
}

void st_add_header(st_request_t *request, st_string_t name, st_string_t value) {
  size_t len = request->headers.len;
  st_header_t *headers = st_alloc((len + 1) * sizeof *headers);
  if (len) memcpy(headers, request->headers.ptr, len * sizeof *headers);
  headers[len] = (st_header_t){name, value};
  request->headers = (st_list_header_t){headers, len + 1};
}

bool st_route_url(const st_call_t *call, st_string_t name, st_string_t *url) {
  for (size_t i = 0; i < call->routes.len; i++) {
    if (st_equal(call->routes.ptr[i].name, name)) {
      *url = call->routes.ptr[i].url;
      return true;
    }
  }
  return false;
}

// ---- proofs -------------------------------------------------------------------------------------------------------

webhook_check_t st_hmac(webhook_hash_t hash, st_string_t sealed, st_list_u8_t message, st_list_u8_t expected) {
  webhook_segment_t whole = {.tag = WEBHOOK_SEGMENT_BYTES, .val = {.bytes = message}};
  return (webhook_check_t){
      .tag = WEBHOOK_CHECK_HMAC,
      .val = {.hmac = {.hash = hash,
                       .key = {.reference = sealed, .encoding = WEBHOOK_KEY_ENCODING_UTF8},
                       .message = ST_LIST(webhook_list_segment_t, whole),
                       .expected = expected}}};
}

webhook_check_t st_equals(st_string_t sealed, st_list_u8_t presented) {
  return (webhook_check_t){.tag = WEBHOOK_CHECK_EQUALS, .val = {.equals = {sealed, presented}}};
}

webhook_check_t st_once(st_string_t key, uint32_t ttl_ms) {
  return (webhook_check_t){.tag = WEBHOOK_CHECK_ONCE, .val = {.once = {key, ttl_ms}}};
}

webhook_proof_t st_proof(st_string_t label, webhook_list_check_t checks) { return (webhook_proof_t){label, checks}; }

// ---- effects ------------------------------------------------------------------------------------------------------

static bool out_of_step(st_io_t *io) {
  st_string_t message = T("The provider asked for other effects than in the round before.");
  return st_fail(io, (st_failure_t){.kind = ST_FAILURE_KIND_INTERNAL,
                                    .code = T("replay"),
                                    .message = message,
                                    .owner = ST_FAILURE_OWNER_OPERATOR});
}

bool st_config(st_io_t *io, const st_json_t *text, yyjson_val **config) {
  *config = st_json(*text);
  if (yyjson_is_obj(*config)) return true;
  st_string_t message =
      T("The stored configuration has a shape that this version of the provider does not know; save it again.");
  return st_fail(io, (st_failure_t){.kind = ST_FAILURE_KIND_INTERNAL,
                                    .code = T("config-unreadable"),
                                    .message = message,
                                    .owner = ST_FAILURE_OWNER_OPERATOR});
}

// The reply to an effect, or NULL when there is none yet, and the effect is what the operation is interrupted with.
static const st_reply_t *reply_to(st_io_t *io, st_effect_t effect) {
  if (io->next < io->count) return &io->replies[io->next++];
  *io->interruption = (st_interruption_t){.tag = ST_INTERRUPTION_PERFORM, .val = {.perform = effect}};
  return NULL;
}

bool st_try_http(st_io_t *io, st_request_t request, st_response_t *response, bool *reached) {
  const st_reply_t *reply = reply_to(io, (st_effect_t){.tag = ST_EFFECT_HTTP, .val = {.http = request}});
  if (!reply) return false;
  if (reply->tag != ST_REPLY_HTTP && reply->tag != ST_REPLY_UNREACHABLE) return out_of_step(io);
  *reached = reply->tag == ST_REPLY_HTTP;
  if (*reached) *response = reply->val.http;
  return true;
}

bool st_http(st_io_t *io, st_request_t request, st_response_t *response) {
  bool reached;
  TRY(st_try_http(io, request, response, &reached));
  if (reached) return true;
  return st_fail(io, st_carrier_failure(T("unreachable"), T("The carrier cannot be reached.")));
}

bool st_load(st_io_t *io, st_string_t key, st_option_json_t *value) {
  const st_reply_t *reply = reply_to(io, (st_effect_t){.tag = ST_EFFECT_LOAD, .val = {.load = key}});
  if (!reply) return false;
  if (reply->tag != ST_REPLY_VALUE) return out_of_step(io);
  *value = reply->val.value;
  return true;
}

bool st_save(st_io_t *io, st_string_t key, st_json_t value, uint32_t ttl_ms) {
  st_effect_t save = {.tag = ST_EFFECT_SAVE, .val = {.save = {key, value, ttl_ms}}};
  const st_reply_t *reply = reply_to(io, save);
  if (!reply) return false;
  return reply->tag == ST_REPLY_SAVED || out_of_step(io);
}

bool st_claim(st_io_t *io, st_string_t key, uint32_t ttl_ms, bool *first) {
  const st_reply_t *reply = reply_to(io, (st_effect_t){.tag = ST_EFFECT_CLAIM, .val = {.claim = {key, ttl_ms}}});
  if (!reply) return false;
  if (reply->tag != ST_REPLY_CLAIMED) return out_of_step(io);
  *first = reply->val.claimed;
  return true;
}

bool st_finished(st_io_t *io) { return io->next == io->count || out_of_step(io); }

bool st_fail(st_io_t *io, st_failure_t failure) {
  *io->interruption = (st_interruption_t){.tag = ST_INTERRUPTION_FAILED, .val = {.failed = failure}};
  return false;
}

static st_failure_t failure(st_failure_kind_t kind, st_string_t code, st_string_t message) {
  return (st_failure_t){.kind = kind, .code = code, .message = message, .owner = ST_FAILURE_OWNER_USER};
}

st_failure_t st_configuration_failure(st_string_t code, st_string_t message) {
  return failure(ST_FAILURE_KIND_CONFIGURATION, code, message);
}

st_failure_t st_quota_failure(st_string_t code, st_string_t message) {
  return failure(ST_FAILURE_KIND_QUOTA, code, message);
}

st_failure_t st_carrier_failure(st_string_t code, st_string_t message) {
  st_failure_t carrier = failure(ST_FAILURE_KIND_CARRIER, code, message);
  carrier.retryable = true;
  carrier.owner = ST_FAILURE_OWNER_OPERATOR;
  return carrier;
}

st_failure_t st_request_failure(st_string_t code, st_string_t message) {
  return failure(ST_FAILURE_KIND_REQUEST, code, message);
}

st_failure_t st_unsupported_failure(st_string_t code, st_string_t message) {
  return failure(ST_FAILURE_KIND_UNSUPPORTED, code, message);
}

// ---- media --------------------------------------------------------------------------------------------------------

media_media_event_t st_audio(st_list_u8_t payload) {
  return (media_media_event_t){.tag = MEDIA_MEDIA_EVENT_AUDIO, .val = {.audio = {.payload = payload}}};
}

media_media_event_t st_malformed(st_string_t what) {
  return (media_media_event_t){.tag = MEDIA_MEDIA_EVENT_MALFORMED, .val = {.malformed = what}};
}

media_list_media_event_t st_event(media_media_event_t event) { return ST_LIST(media_list_media_event_t, event); }

media_list_message_t st_text_message(st_string_t text) {
  return ST_LIST(media_list_message_t, (media_message_t){.tag = MEDIA_MESSAGE_TEXT, .val = {.text = text}});
}

media_list_message_t st_binary_message(st_list_u8_t bytes) {
  return ST_LIST(media_list_message_t, (media_message_t){.tag = MEDIA_MESSAGE_BINARY, .val = {.binary = bytes}});
}

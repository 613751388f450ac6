// Calls over the REST API.
#include "provider.h"

static bool route_missing(st_io_t *io) {
  return st_fail(io, (st_failure_t){.kind = ST_FAILURE_KIND_INTERNAL,
                                    .code = T("route-missing"),
                                    .message = T("The gateway gave no URL for a route."),
                                    .owner = ST_FAILURE_OWNER_OPERATOR});
}

bool calling_place_call(calling_json_t *kept, calling_call_t *call, calling_outbound_t *outbound,
                        calling_list_reply_t *replies, calling_placed_t *ret, calling_interruption_t *err) {
  st_io_t io = ST_IO(replies, err);
  config config;
  st_string_t status_url, id;
  st_response_t answer;
  TRY(read_config(&io, kept, &config));
  if (!outbound->caller_id.is_some) {
    return st_fail(&io, st_request_failure(T("caller-id-missing"), T("A call needs a number to call from.")));
  }
  if (!outbound->answer_url.is_some || !st_route_url(call, T("status"), &status_url)) return route_missing(&io);
  st_object_t document = st_object();
  st_put_text(&document, "from", outbound->caller_id.val);
  st_put_text(&document, "to", call->callee);
  st_put_text(&document, "answer_url", outbound->answer_url.val);
  st_put_text(&document, "status_url", status_url);
  st_put_number(&document, "ring_timeout_s", outbound->ring_timeout_s);
  TRY(send_request(&io, &config, T("POST"), T("/calls"), st_write(&document), &answer));
  if (answer.status != 201) return refused(&io, &answer);
  if (!st_json_text(read_object(answer.body), "call", &id) || id.len == 0) return unusable(&io, &answer);
  *ret = (calling_placed_t){.provider_call_id = id};
  return st_finished(&io);
}

// The path of the call at the carrier. What no escaping makes a name of something is the name of no call.
static bool path_of(st_io_t *io, const st_call_t *call, st_string_t *path) {
  st_string_t id = call->provider_call_id.val;
  if (!call->provider_call_id.is_some || id.len == 0 || st_equal(id, T(".")) || st_equal(id, T(".."))) {
    return call_not_found(io);
  }
  *path = st_join(T("/calls/"), st_percent(id));
  return true;
}

bool calling_hang_up(calling_json_t *kept, calling_call_t *call, calling_list_reply_t *replies,
                     calling_hang_up_outcome_t *ret, calling_interruption_t *err) {
  st_io_t io = ST_IO(replies, err);
  config config;
  st_string_t path;
  st_response_t answer;
  TRY(read_config(&io, kept, &config));
  TRY(path_of(&io, call, &path));
  TRY(send_request(&io, &config, T("DELETE"), path, T(""), &answer));
  bool is_over = answer.status == 404 || answer.status == 409;
  if (!is_over && (answer.status < 200 || answer.status > 299)) return refused(&io, &answer);
  *ret = is_over ? ST_HANG_UP_OUTCOME_ALREADY_ENDED : ST_HANG_UP_OUTCOME_ENDED;
  return st_finished(&io);
}

// What the carrier knows about the call.
static bool fetch(st_io_t *io, const st_json_t *kept, const st_call_t *call, st_response_t *answer, yyjson_val **body) {
  config config;
  st_string_t path;
  TRY(read_config(io, kept, &config));
  TRY(path_of(io, call, &path));
  TRY(send_request(io, &config, T("GET"), path, T(""), answer));
  if (answer->status == 404) return call_not_found(io);
  if (answer->status != 200) return refused(io, answer);
  *body = read_object(answer->body);
  return *body || unusable(io, answer);
}

bool calling_fetch_status(calling_json_t *kept, calling_call_t *call, calling_list_reply_t *replies,
                          calling_status_report_t *ret, calling_interruption_t *err) {
  st_io_t io = ST_IO(replies, err);
  st_response_t answer;
  yyjson_val *body;
  st_string_t word;
  TRY(fetch(&io, kept, call, &answer, &body));
  if (!st_json_text(body, "status", &word) || !read_status(word, &ret->status)) return unusable(&io, &answer);
  ret->duration_ms = read_duration_ms(body, "duration_s");
  return st_finished(&io);
}

// Digits, with or without a fraction.
static bool is_amount(st_string_t text) {
  bool has_digit = false, has_point = false;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] >= '0' && text.ptr[i] <= '9') {
      has_digit = true;
    } else if (text.ptr[i] == '.' && has_digit && !has_point) {
      has_point = true;
      has_digit = false;
    } else {
      return false;
    }
  }
  return has_digit;
}

static bool is_currency(st_string_t text) {
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < 'A' || text.ptr[i] > 'Z') return false;
  }
  return text.len == 3;
}

bool calling_fetch_cost(calling_json_t *kept, calling_call_t *call, calling_list_reply_t *replies,
                        calling_option_cost_t *ret, calling_interruption_t *err) {
  st_io_t io = ST_IO(replies, err);
  st_response_t answer;
  yyjson_val *body;
  uint64_t seconds;
  TRY(fetch(&io, kept, call, &answer, &body));
  yyjson_val *cost = st_json_member(body, "cost");
  *ret = (calling_option_cost_t){.is_some = cost && !yyjson_is_null(cost)};
  if (ret->is_some) {
    bool fits = st_json_text(cost, "amount", &ret->val.amount) && is_amount(ret->val.amount) &&
                st_json_text(cost, "currency", &ret->val.currency) && is_currency(ret->val.currency) &&
                st_json_number(cost, "seconds", &seconds) && seconds <= UINT32_MAX;
    if (!fits) return unusable(&io, &answer);
    ret->val.duration_s = (uint32_t)seconds;
  }
  return st_finished(&io);
}

// The account's numbers, and where their calls go.
#include "provider.h"

static bool is_e164(st_string_t address) { return st_starts_with(address, T("+")); }

static st_string_t path_of(st_string_t address) { return st_join(T("/numbers/"), st_percent(address)); }

bool numbers_validate_number(numbers_json_t *kept, st_string_t *address, numbers_list_reply_t *replies,
                             numbers_ownership_t *ret, numbers_interruption_t *err) {
  st_io_t io = ST_IO(replies, err);
  config config;
  st_response_t answer;
  TRY(read_config(&io, kept, &config));
  if (is_e164(*address)) {
    TRY(send_request(&io, &config, T("GET"), path_of(*address), T(""), &answer));
    if (answer.status != 200 && answer.status != 404) return refused(&io, &answer);
    *ret = answer.status == 200 ? NUMBERS_OWNERSHIP_OWNED : NUMBERS_OWNERSHIP_NOT_OWNED;
  } else {
    *ret = NUMBERS_OWNERSHIP_NOT_APPLICABLE;
  }
  return st_finished(&io);
}

bool numbers_provision_number(numbers_json_t *kept, st_string_t *address, numbers_list_reply_t *replies,
                              numbers_provisioning_t *ret, numbers_interruption_t *err) {
  (void)address;
  st_io_t io = ST_IO(replies, err);
  config config;
  TRY(read_config(&io, kept, &config));
  *ret = NUMBERS_PROVISIONING_NOT_OFFERED;
  return st_finished(&io);
}

// What is not there points nowhere, so detaching it is done already.
static bool not_found(st_io_t *io, bool attach, numbers_synchronisation_t *ret) {
  ret->tag = NUMBERS_SYNCHRONISATION_UNCHANGED;
  if (!attach) return st_finished(io);
  return st_fail(io, st_request_failure(T("number-not-found"), T("The account does not own this number.")));
}

bool numbers_configure_inbound(numbers_json_t *kept, st_string_t *address, st_string_t *webhook_url, bool attach,
                               numbers_list_reply_t *replies, numbers_synchronisation_t *ret, numbers_interruption_t *err) {
  st_io_t io = ST_IO(replies, err);
  config config;
  st_response_t answer;
  st_option_string_t now;
  TRY(read_config(&io, kept, &config));
  if (!is_e164(*address)) {
    *ret = (numbers_synchronisation_t){.tag = NUMBERS_SYNCHRONISATION_LEFT_ALONE,
                                       .val = {.left_alone = T("Only E.164 numbers are set at the carrier.")}};
    return st_finished(&io);
  }
  TRY(send_request(&io, &config, T("GET"), path_of(*address), T(""), &answer));
  if (answer.status == 404) return not_found(&io, attach, ret);
  if (answer.status != 200) return refused(&io, &answer);
  yyjson_val *number = read_object(answer.body);
  if (!number || !st_json_optional_text(number, "webhook_url", &now)) return unusable(&io, &answer);
  bool points_here = now.is_some && st_equal(now.val, *webhook_url);
  ret->tag = NUMBERS_SYNCHRONISATION_UNCHANGED;
  if (points_here == attach) return st_finished(&io);
  st_object_t target = st_object();
  if (attach) st_put_text(&target, "webhook_url", *webhook_url); else st_put_null(&target, "webhook_url");
  TRY(send_request(&io, &config, T("PUT"), path_of(*address), st_write(&target), &answer));
  if (answer.status == 404) return not_found(&io, attach, ret);
  if (answer.status < 200 || answer.status > 299) return refused(&io, &answer);
  ret->tag = NUMBERS_SYNCHRONISATION_DONE;
  return st_finished(&io);
}

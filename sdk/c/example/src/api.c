// The REST API: requests of one account, and whose fault an answer is.
#include "provider.h"

bool send_request(st_io_t *io, const config *config, st_string_t method, st_string_t path, st_string_t document,
                  st_response_t *answer) {
  st_string_t base = T("https://api.example-telecom.example/v1/accounts/");
  st_request_t request = st_request(method, st_join(base, st_percent(config->account), path));
  st_bearer(&request, config->api_key);
  if (document.len) st_json_body(&request, document);
  return st_http(io, request, answer);
}

static st_string_t with_status(const char *before, const st_response_t *answer) {
  return st_join(st_text(before), T(" (HTTP "), st_number(answer->status), T(")."));
}

bool refused(st_io_t *io, const st_response_t *answer) {
  uint16_t status = answer->status;
  if (status == 401 || status == 403) {
    return st_fail(io, st_configuration_failure(T("unauthorized"), T("The carrier refuses the API key.")));
  }
  if (status == 402) return st_fail(io, st_quota_failure(T("balance"), T("The account has no credit.")));
  if (status == 429) {
    st_failure_t failure = st_quota_failure(T("rate-limited"), T("The carrier asks to slow down."));
    failure.retryable = true;
    failure.owner = ST_FAILURE_OWNER_OPERATOR;
    return st_fail(io, failure);
  }
  if (status >= 400 && status <= 499) {
    return st_fail(io, st_request_failure(T("refused"), with_status("The carrier refused the request", answer)));
  }
  return unusable(io, answer);
}

bool unusable(st_io_t *io, const st_response_t *answer) {
  st_string_t message = with_status("The carrier's answer cannot be used", answer);
  return st_fail(io, st_carrier_failure(T("unexpected-answer"), message));
}

bool call_not_found(st_io_t *io) {
  return st_fail(io, st_request_failure(T("call-not-found"), T("The carrier does not know this call.")));
}

// What the carrier is, and how its configuration is shaped.
#include "provider.h"

static st_field_t field(st_string_t name, st_string_t label, st_field_type_t kind) {
  return (st_field_t){
      .name = name, .label = label, .kind = kind, .required = true, .sensitive = kind == ST_FIELD_TYPE_PASSWORD};
}

void descriptor_spec(descriptor_provider_spec_t *ret) {
  *ret = (descriptor_provider_spec_t){
      .name = T("example-telecom"),
      .display_name = T("Example Telecom"),
      .version = T("0.1.0"),
      .connectivity = DESCRIPTOR_CONNECTIVITY_API,
      .requires_caller_id = true,
      .fields = ST_LIST(descriptor_list_field_t,
                        field(T("account"), T("Account"), ST_FIELD_TYPE_TEXT),
                        field(T("api_key"), T("API key"), ST_FIELD_TYPE_PASSWORD),
                        field(T("signing_secret"), T("Signing secret"), ST_FIELD_TYPE_PASSWORD)),
      .account_id_field = T("account"),
      .media = {.formats = ST_LIST(descriptor_list_wire_format_t,
                                   (descriptor_wire_format_t){DESCRIPTOR_ENCODING_PCMU, 8000},
                                   (descriptor_wire_format_t){DESCRIPTOR_ENCODING_L16_LE, 16000}),
                .frame_ms = 20,
                .echoes_marks = true},
      .routes = ST_LIST(descriptor_list_route_t,
                        (descriptor_route_t){T("answer"), DESCRIPTOR_ROUTE_PURPOSE_ANSWER, T("POST"), T("answer/{call}")},
                        (descriptor_route_t){T("status"), DESCRIPTOR_ROUTE_PURPOSE_CALLBACK, T("POST"), T("status/{call}")}),
      .egress_hosts = ST_LIST(st_list_string_t, T("api.example-telecom.example")),
      .webhook_proof = DESCRIPTOR_PROOF_POLICY_REQUIRED,
  };
}

static bool is_account(st_string_t account) {
  for (size_t i = 0; i < account.len; i++) {
    uint8_t byte = account.ptr[i];
    if (!((byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9'))) return false;
  }
  return account.len >= 4 && account.len <= 32;
}

bool descriptor_config_loader(descriptor_json_t *credentials, descriptor_json_t *ret, descriptor_list_field_problem_t *err) {
  yyjson_val *given = st_json(*credentials);
  config config;
  bool complete = st_json_text(given, "account", &config.account) && st_json_text(given, "api_key", &config.api_key) &&
                  st_json_text(given, "signing_secret", &config.signing_secret);
  if (!complete || !is_account(config.account)) {
    st_string_t problem = T("An account is 4 to 32 capital letters and digits, as shown in the portal.");
    *err = ST_LIST(descriptor_list_field_problem_t, (descriptor_field_problem_t){T("account"), problem});
    return false;
  }
  st_object_t kept = st_object();
  st_put_text(&kept, "account", config.account);
  st_put_text(&kept, "api_key", config.api_key);
  st_put_text(&kept, "signing_secret", config.signing_secret);
  *ret = st_write(&kept);
  return true;
}

bool read_config(st_io_t *io, const st_json_t *text, config *config) {
  yyjson_val *kept;
  TRY(st_config(io, text, &kept));
  *config = (struct config){0};
  st_json_text(kept, "account", &config->account);
  st_json_text(kept, "api_key", &config->api_key);
  st_json_text(kept, "signing_secret", &config->signing_secret);
  return true;
}

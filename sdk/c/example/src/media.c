// The media socket: JSON messages, the audio in base64.
#include "provider.h"

// Integers above this are not exact in JSON as many languages read it.
#define SEQUENCE_MAX ((1ull << 53) - 1)

struct media_leg_t {
  // Named by the carrier's `start`; nothing can be sent before.
  bool is_started;
  st_string_t stream;
};

media_own_leg_t media_constructor_leg(media_json_t *config, media_call_t *call) {
  (void)config, (void)call;
  return media_leg_new(st_keep(sizeof(media_leg_t)));
}

void media_leg_destructor(media_leg_t *leg) { (void)leg; }

static media_media_event_t misfit(st_string_t event) {
  return st_malformed(st_join(event, T(": a field is missing or wrong")));
}

static media_media_event_t start(media_leg_t *leg, yyjson_val *message) {
  st_string_t stream, call, name;
  if (!st_json_text(message, "stream", &stream) || !st_json_text(message, "call", &call) ||
      !st_json_text(message, "format", &name)) {
    return misfit(T("start"));
  }
  bool is_pcmu = st_equal(name, T("pcmu"));
  if (!is_pcmu && !st_equal(name, T("l16"))) return st_malformed(T("start: unknown format"));
  leg->is_started = true;
  leg->stream = st_keep_text(stream);
  st_option_u8_t format = {true, is_pcmu ? 0 : 1};
  media_started_t started = {.provider_call_id = st_some(call),
                             .stream_id = st_some(stream),
                             .receive_format = format,
                             .send_format = format};
  return (media_media_event_t){.tag = MEDIA_MEDIA_EVENT_STARTED, .val = {.started = started}};
}

static media_media_event_t audio(yyjson_val *message) {
  yyjson_val *numbered = st_json_member(message, "seq");
  st_option_u64_t sequence = {numbered && !yyjson_is_null(numbered), 0};
  if (sequence.is_some && (!st_json_number(message, "seq", &sequence.val) || sequence.val > SEQUENCE_MAX)) {
    return misfit(T("media"));
  }
  st_string_t text;
  st_list_u8_t payload;
  if (!st_json_text(message, "payload", &text)) return misfit(T("media"));
  if (!st_read_base64(text, &payload)) return st_malformed(T("media: the payload is not base64"));
  media_media_event_t event = st_audio(payload);
  event.val.audio.sequence = sequence;
  return event;
}

static bool is_digit(st_string_t text) {
  static const char DIGITS[] = "0123456789*#ABCD";
  for (size_t i = 0; text.len == 1 && i < sizeof DIGITS - 1; i++) {
    if (text.ptr[0] == DIGITS[i]) return true;
  }
  return false;
}

void media_method_leg_deserialize_frame(media_borrow_leg_t self, media_message_t *message, media_list_media_event_t *ret) {
  if (message->tag == MEDIA_MESSAGE_BINARY) {
    *ret = st_event(st_malformed(T("a binary message")));
    return;
  }
  yyjson_val *root = st_json(message->val.text);
  st_string_t event, text;
  if (!st_json_text(root, "event", &event)) {
    *ret = st_event(st_malformed(T("not a JSON object with an event")));
  } else if (st_equal(event, T("start"))) {
    *ret = st_event(start(self, root));
  } else if (st_equal(event, T("media"))) {
    *ret = st_event(audio(root));
  } else if (st_equal(event, T("dtmf"))) {
    bool fits = st_json_text(root, "digit", &text) && is_digit(text);
    *ret = st_event(fits ? (media_media_event_t){.tag = MEDIA_MEDIA_EVENT_DTMF, .val = {.dtmf = text}} : misfit(event));
  } else if (st_equal(event, T("mark"))) {
    bool fits = st_json_text(root, "name", &text);
    *ret = st_event(fits ? (media_media_event_t){.tag = MEDIA_MEDIA_EVENT_MARK, .val = {.mark = text}} : misfit(event));
  } else if (st_equal(event, T("stop"))) {
    media_media_event_t stopped = {.tag = MEDIA_MEDIA_EVENT_STOPPED};
    bool fits = st_json_optional_text(root, "reason", &stopped.val.stopped);
    *ret = st_event(fits ? stopped : misfit(event));
  } else {
    // What is added to the protocol later must not break calls.
    *ret = (media_list_media_event_t){0};
  }
}

bool media_method_leg_serialize_frame(media_borrow_leg_t self, media_media_frame_t *frame, media_list_message_t *ret,
                                      media_frame_problem_t *err) {
  static const char *const EVENTS[] = {[MEDIA_MEDIA_FRAME_AUDIO] = "media",
                                       [MEDIA_MEDIA_FRAME_CLEAR] = "clear",
                                       [MEDIA_MEDIA_FRAME_MARK] = "mark",
                                       [MEDIA_MEDIA_FRAME_DTMF] = "dtmf",
                                       [MEDIA_MEDIA_FRAME_STOP] = "stop"};
  if (!self->is_started) {
    *err = MEDIA_FRAME_PROBLEM_NOT_STARTED;
    return false;
  }
  st_object_t message = st_object();
  st_put_text(&message, "event", st_text(EVENTS[frame->tag]));
  st_put_text(&message, "stream", self->stream);
  if (frame->tag == MEDIA_MEDIA_FRAME_AUDIO) st_put_text(&message, "payload", st_base64(frame->val.audio));
  if (frame->tag == MEDIA_MEDIA_FRAME_MARK) st_put_text(&message, "name", frame->val.mark);
  if (frame->tag == MEDIA_MEDIA_FRAME_DTMF) st_put_text(&message, "digit", frame->val.dtmf);
  *ret = st_text_message(st_write(&message));
  return true;
}

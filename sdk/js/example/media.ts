// The media socket: JSON messages, the audio in base64.

import {
  AudioEnvelope,
  type JsonObject,
  type Leg,
  asCount,
  type contract,
  frameProblem,
  fromBase64,
  isDigit,
  jsonMessage,
  mediaEvent,
  readObject,
} from "@strowger/sdk";

/** The media stream of one call. */
export class MediaStream implements Leg {
  /** The name that the `start` message gave the stream, and the parts of audio messages that do not change. */
  #outgoing: { stream: string; audio: AudioEnvelope } | undefined;

  deserializeFrame(message: contract.Message): contract.MediaEvent[] {
    if (message.tag === "binary") return [mediaEvent.malformed("a binary message")];
    const read = readObject(message);
    const event = read?.["event"];
    if (read === undefined || typeof event !== "string") {
      return [mediaEvent.malformed("not a JSON object with an event")];
    }
    switch (event) {
      case "start":
        return [this.#start(read)];
      case "media":
        return [audio(read)];
      case "dtmf": {
        const { digit } = read;
        return [typeof digit === "string" && isDigit(digit) ? mediaEvent.dtmf(digit) : misfit(event)];
      }
      case "mark": {
        const { name } = read;
        return [typeof name === "string" ? mediaEvent.mark(name) : misfit(event)];
      }
      case "stop": {
        const reason = read["reason"] ?? null;
        return [reason === null || typeof reason === "string" ? mediaEvent.stopped(reason) : misfit(event)];
      }
      default:
        // What is added to the protocol later must not break calls.
        return [];
    }
  }

  serializeFrame(frame: contract.MediaFrame): contract.Message[] {
    if (this.#outgoing === undefined) throw frameProblem("not-started");
    const { stream, audio } = this.#outgoing;
    switch (frame.tag) {
      case "audio":
        return [audio.wrap(frame.val)];
      case "clear":
        return [jsonMessage({ event: "clear", stream })];
      case "mark":
        return [jsonMessage({ event: "mark", stream, name: frame.val })];
      case "dtmf":
        return [jsonMessage({ event: "dtmf", stream, digit: frame.val })];
      case "stop":
        return [jsonMessage({ event: "stop", stream })];
    }
  }

  #start({ stream, call, format }: JsonObject): contract.MediaEvent {
    if (typeof stream !== "string" || typeof call !== "string" || typeof format !== "string") return misfit("start");
    const index = ["pcmu", "l16"].indexOf(format);
    if (index < 0) return mediaEvent.malformed("start: unknown format");
    const before = `{"event":"media","stream":${JSON.stringify(stream)},"payload":"`;
    this.#outgoing = { stream, audio: new AudioEnvelope(before, '"}') };
    return mediaEvent.started({ providerCallId: call, streamId: stream, receiveFormat: index, sendFormat: index });
  }
}

function audio({ payload, seq }: JsonObject): contract.MediaEvent {
  const sequence = seq == null ? null : asCount(seq);
  if (sequence === undefined || typeof payload !== "string") return misfit("media");
  const bytes = fromBase64(payload);
  return bytes === null ? mediaEvent.malformed("media: the payload is not base64") : mediaEvent.audio(bytes, { sequence });
}

function misfit(event: string): contract.MediaEvent {
  return mediaEvent.malformed(`${event}: a field is missing or wrong`);
}

// What a provider says about itself, with what is usual left out.

import type * as contract from "./contract.ts";

/** A field is a text that may be left empty and that anybody may read, unless it says otherwise. */
export type FieldInput = Pick<contract.Field, "name" | "label"> & Partial<contract.Field>;

/** A route is POST at `{name}/{call}`, or at `{name}/{transfer}` for the second leg of a transfer, unless it says otherwise. */
export type RouteInput = Pick<contract.Route, "name" | "purpose"> & Partial<contract.Route>;

/** Frames of 20 milliseconds, and marks that are not echoed, unless it says otherwise. */
export type MediaInput = Pick<contract.MediaProfile, "formats"> & Partial<contract.MediaProfile>;

/** A carrier with an API and signed webhooks, whose outbound calls need a caller id, unless it says otherwise. */
export type SpecInput = Pick<contract.ProviderSpec, "name" | "displayName" | "version"> &
  Partial<Omit<contract.ProviderSpec, "fields" | "media" | "routes">> & {
    media: MediaInput;
    fields?: FieldInput[];
    routes?: RouteInput[];
  };

/** The whole specification. */
export function specOf(input: SpecInput): contract.ProviderSpec {
  return {
    docsUrl: null,
    connectivity: "api",
    requiresCallerId: true,
    accountIdField: "",
    egressHosts: [],
    webhookProof: "required",
    ...input,
    fields: (input.fields ?? []).map(fieldOf),
    media: { frameMs: 20, subprotocol: null, echoesMarks: false, ...input.media },
    routes: (input.routes ?? []).map(routeOf),
  };
}

/** A whole field, for a provider's own lists such as those of trunks. */
export function fieldOf(input: FieldInput): contract.Field {
  return {
    kind: "text",
    required: false,
    sensitive: false,
    serverManaged: false,
    accountScoped: false,
    description: null,
    placeholder: null,
    options: [],
    visibleWhen: null,
    section: null,
    ...input,
  };
}

function routeOf(input: RouteInput): contract.Route {
  const parameter = input.purpose === "transfer" ? "{transfer}" : "{call}";
  return { method: "POST", path: `${input.name}/${parameter}`, ...input };
}

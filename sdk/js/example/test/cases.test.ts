// The recorded cases, without any runtime. The runtime runs the same files against the built component.

import { recordedCases } from "@strowger/sdk/testing";

import provider from "../provider.ts";

recordedCases(provider, "../../example-telecom/cases");

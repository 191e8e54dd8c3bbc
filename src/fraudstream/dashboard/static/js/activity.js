// The pages Activity and Audit: times in the viewer's time zone.

import { localTimes } from "./format.js";

localTimes(document);

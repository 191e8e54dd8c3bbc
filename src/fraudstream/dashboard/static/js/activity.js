// The page of what happened: times in the viewer's zone.

import { localTimes } from "./format.js";

localTimes(document);

import { z } from "zod";

/**
 * Index of the PCR that a log is extended into. 13 is free on most hosts. 16 is for demonstrations: anybody on the host
 * can reset it, so records that no quote has shown yet can be dropped unseen. 17 and up are reset by localities or anybody.
 */
export const pcrSchema = z.int().min(0).max(16).default(13);

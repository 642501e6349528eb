import { printable } from "../../core/bytes.ts";
import { PimsError } from "../../core/errors.ts";
import type { ContractName } from "./artifact.ts";

const WORDS: Record<ContractName, string> = {
  BaselineRegistry: "baseline registry",
  HostRegistry: "host registry",
  Checkpoints: "contract for checkpoints",
};

/** There is another contract at the address, or none. `endpoints`: their names. */
export function noContract(name: ContractName, endpoints: string, address: string): PimsError {
  const text = `there is no ${WORDS[name]} of this version at ${printable(address)} on ${endpoints}`;
  return new PimsError("ledger-no-registry", text, { hint: "give the address that pims ledger deploy printed" });
}

/**
 * OpenAI's own state, as its Responses surface asks for it: what of a request is the gateway's to keep. Ids are the
 * client's words here.
 */
export type RequestedState = {
  previous?: string;
  conversation?: string;
  stored: boolean;
  background: boolean;
  /** `generate: false`, a word of the WebSocket mode. */
  isWarmUp: boolean;
};

/** The same, when it is known where things are. */
export type ResponsesState = Pick<RequestedState, "stored" | "background"> & {
  /** The response that it continues, by the id the client used, and its call. */
  from?: { id: string; call: string; isHeard?: true };
  conversation?: string;
  /** No model is to answer. */
  isWarmUp?: true;
};

/** The state that a request on OpenAI's Responses surface refers to, with the ids as the client sent them. */
export type RequestedState = {
  /** `previous_response_id`. */
  previous?: string;
  conversation?: string;
  /** `store`: the response can be retrieved later. */
  stored: boolean;
  background: boolean;
  /** `generate: false` of the WebSocket mode: the request only prepares the next one. */
  isWarmUp: boolean;
};

/** The same state after its ids were resolved to a session. */
export type ResponsesState = Pick<RequestedState, "stored" | "background"> & {
  /** The response that the call continues: the id that the client used, and the id of its call. */
  from?: { id: string; call: string; isHeard?: true };
  conversation?: string;
  /** The call is stored without an answer of a model. */
  isWarmUp?: true;
};

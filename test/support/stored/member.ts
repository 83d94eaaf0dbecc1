/** All members, those that may be absent too: a new one has to be listed here before it is stored or sent. */
export type Members<T> = { [Member in keyof Required<T>]: true };

export type KeyOfAny<T> = T extends unknown ? keyof T : never;

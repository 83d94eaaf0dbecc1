/** Characters of `user`: longer ones are refused with 400 ("string too long. Expected a string with maximum length 64"). */
export const MAX_USER = 64;

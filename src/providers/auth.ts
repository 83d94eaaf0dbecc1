import { GatewayError } from "../canonical/error.ts";
import { fetchAccessToken } from "./google-auth.ts";
import type { AwsKey, Provider } from "./provider.ts";

/** A request to a provider. Only a text is signed, so providers with SigV4 need the body as a string. */
export type OutgoingRequest<Body = string | Uint8Array | ReadableStream<Uint8Array>> = {
  url: string;
  headers: Headers;
  body: Body;
};

/**
 * Adds the provider's credential to the request; the only function that does. Changes `request.headers`. Throws
 * `request.unprocessable` if the body would have to be signed but is streamed, `provider.execution_failed` if Google gives no
 * token.
 */
export async function withCredential<Body extends OutgoingRequest["body"]>(
  provider: Provider,
  request: OutgoingRequest<Body>,
): Promise<OutgoingRequest<Body>> {
  const { apiKey, auth } = provider;
  const { headers } = request;
  if (auth === "aws" && provider.aws !== undefined) return await signRequest(provider.aws, request);
  if (apiKey === undefined) return request;
  switch (auth) {
    case "none":
      return request;
    case "bearer":
    // A Bedrock API key, unlike an AWS access key, is a bearer token.
    case "aws":
      headers.set("authorization", `Bearer ${apiKey}`);
      return request;
    case "google":
      headers.set("authorization", `Bearer ${await fetchAccessToken(apiKey)}`);
      return request;
    case "query": {
      const url = new URL(request.url);
      url.searchParams.set("key", apiKey);
      return { ...request, url: url.href };
    }
    case "x-api-key":
    case "x-goog-api-key":
    case "api-key":
      headers.set(auth, apiKey);
      return request;
  }
}

/**
 * AWS Signature Version 4 (AWS General Reference: signing requests). Only the host and AWS's own headers are signed, so that
 * a proxy that changes other headers does not invalidate the signature.
 */
async function signRequest<Body extends OutgoingRequest["body"]>(
  key: AwsKey,
  request: OutgoingRequest<Body>,
): Promise<OutgoingRequest<Body>> {
  if (typeof request.body !== "string")
    throw new GatewayError("request.unprocessable", "this provider does not accept a streamed body");
  const { AwsV4Signer } = await import("aws4fetch");
  const signer = new AwsV4Signer({
    method: "POST",
    url: request.url,
    body: request.body,
    accessKeyId: key.id,
    secretAccessKey: key.secret,
    ...(key.session !== undefined && { sessionToken: key.session }),
    service: "bedrock",
    region: key.region,
  });
  const { headers } = await signer.sign();
  headers.forEach((value, name) => {
    if (name !== "host") request.headers.set(name, value);
  });
  return request;
}

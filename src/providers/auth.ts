import { GatewayError } from "../canonical/error.ts";
import { fetchAccessToken } from "./google-auth.ts";
import type { AwsKey, Provider } from "./provider.ts";

/** A request on its way out. A body that is not held as text cannot be signed. */
export type OutgoingRequest<Body = string | ReadableStream<Uint8Array>> = { url: string; headers: Headers; body: Body };

/** The request with the provider's own credential: the only place where one is put in. */
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
    // A Bedrock API key is a bearer token.
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

/** SigV4. Only the host and AWS's own headers are signed: what a proxy on the way may change must not break it. */
async function signRequest<Body extends OutgoingRequest["body"]>(
  key: AwsKey,
  request: OutgoingRequest<Body>,
): Promise<OutgoingRequest<Body>> {
  if (typeof request.body !== "string")
    throw new GatewayError("request.unprocessable", "this provider takes no streamed body");
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

/** Secrets and settings beside the bindings of wrangler.jsonc; SPEC 20. `{PROVIDER}_API_KEY` and `_BASE_URL` are read by name. */
declare namespace Cloudflare {
  interface Env {
    RHONE_ADMIN_KEY?: string;
    RHONE_PROVIDERS?: string;
    RHONE_PRICES?: string;
  }
}

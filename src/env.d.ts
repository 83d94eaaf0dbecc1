/** Secrets and settings beside the bindings of wrangler.jsonc; SPEC 20. `{PROVIDER}_API_KEY` and `_BASE_URL` are read by name. */
declare namespace Cloudflare {
  interface Env {
    RHONE_ADMIN_KEY?: string;
    /** `optional`: keys may be made without an end. */
    RHONE_KEY_TTL?: string;
    /** 32 bytes in base64: what stored credentials are sealed with. `new,old` while it is being replaced. */
    RHONE_CREDENTIALS_KEY?: string;
    RHONE_PROVIDERS?: string;
    RHONE_PRICES?: string;
    RHONE_CONFIG?: string;
  }
}

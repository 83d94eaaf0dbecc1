/**
 * The start of a query: `orgs` are the organisations that have rows in the table, by one search of its key for each. The last of
 * them is null. `where`: a condition on what stands in front of `org` in the key.
 */
export const withOrganizations = (table: string, where = "true"): string => `WITH RECURSIVE orgs (org) AS (
    SELECT min(org) FROM ${table} WHERE ${where}
    UNION ALL SELECT (SELECT min(org) FROM ${table} WHERE ${where} AND org > orgs.org) FROM orgs WHERE org IS NOT NULL
  )`;

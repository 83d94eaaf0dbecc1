CREATE TABLE `session_retention` (
	`org` text NOT NULL,
	`session_id` text NOT NULL,
	`legal_hold` integer NOT NULL,
	`retention_days` integer,
	`changed_by` text NOT NULL,
	`changed_at` integer NOT NULL,
	PRIMARY KEY(`org`, `session_id`)
) WITHOUT ROWID;

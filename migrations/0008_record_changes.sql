CREATE TABLE `record_changes` (
	`org` text NOT NULL,
	`id` text NOT NULL,
	`session_id` text NOT NULL,
	`patch` text NOT NULL,
	`changes` integer NOT NULL,
	`changed_at` integer NOT NULL,
	PRIMARY KEY(`org`, `id`)
) WITHOUT ROWID;

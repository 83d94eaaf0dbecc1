CREATE TABLE `record_parts` (
	`source` text NOT NULL,
	`org` text NOT NULL,
	`slice` integer NOT NULL,
	`part` integer NOT NULL,
	`state` text NOT NULL,
	`key` text NOT NULL,
	`rows` integer,
	`bytes` integer,
	`sha256` text,
	`first_id` text,
	`last_id` text,
	`started_at` integer NOT NULL,
	`sealed_at` integer,
	`removed_at` integer,
	PRIMARY KEY(`source`, `org`, `slice`, `part`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `record_parts_unfinished` ON `record_parts` (`started_at`) WHERE state <> 'removed';
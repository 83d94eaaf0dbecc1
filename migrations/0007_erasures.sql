CREATE TABLE `erasures` (
	`org` text NOT NULL,
	`session_id` text NOT NULL,
	`id` text NOT NULL,
	`state` text NOT NULL,
	`requested_by` text NOT NULL,
	`requested_at` integer NOT NULL,
	`done_at` integer,
	`checked` text,
	`calls` integer DEFAULT 0 NOT NULL,
	`files` integer DEFAULT 0 NOT NULL,
	PRIMARY KEY(`org`, `session_id`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `erasures_by_id` ON `erasures` (`org`,`id`);--> statement-breakpoint
CREATE INDEX `erasures_requested` ON `erasures` (`requested_at`) WHERE state = 'requested';
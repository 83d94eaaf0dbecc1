CREATE TABLE `completions` (
	`org` text NOT NULL,
	`call` text NOT NULL,
	`id` text NOT NULL,
	`status` text NOT NULL,
	`model` text NOT NULL,
	`metadata` text NOT NULL,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`org`, `call`)
);
--> statement-breakpoint
CREATE INDEX `completions_by_time` ON `completions` (`org`,`created_at`,`call`);
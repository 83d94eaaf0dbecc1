CREATE TABLE `sessions` (
	`id` text NOT NULL,
	`org` text NOT NULL,
	`status` text NOT NULL,
	`phase` text,
	`head` text,
	`turns` integer NOT NULL,
	`metadata` text NOT NULL,
	`origin` text,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`org`, `id`)
);
--> statement-breakpoint
CREATE INDEX `sessions_by_time` ON `sessions` (`org`,`created_at`,`id`);
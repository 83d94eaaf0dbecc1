CREATE TABLE `checkpoints` (
	`org` text NOT NULL,
	`id` text NOT NULL,
	`run_id` text NOT NULL,
	`session_id` text NOT NULL,
	`kind` text NOT NULL,
	`status` text NOT NULL,
	`tool` text,
	`approver` text NOT NULL,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	PRIMARY KEY(`org`, `id`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `checkpoints_open` ON `checkpoints` (`org`,`id`) WHERE status = 'open';--> statement-breakpoint
CREATE TABLE `run_records` (
	`org` text NOT NULL,
	`id` text NOT NULL,
	`session_id` text NOT NULL,
	`key_id` text NOT NULL,
	`status` text NOT NULL,
	`stop_reason` text,
	`steps` integer NOT NULL,
	`tool_calls` integer NOT NULL,
	`usage` text NOT NULL,
	`cost_micros_usd` integer NOT NULL,
	`error` text,
	`metadata` text,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	`ended_at` integer,
	PRIMARY KEY(`org`, `id`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `tool_executions` (
	`org` text NOT NULL,
	`id` text NOT NULL,
	`run_id` text NOT NULL,
	`session_id` text NOT NULL,
	`step` integer NOT NULL,
	`name` text NOT NULL,
	`kind` text NOT NULL,
	`effect` text NOT NULL,
	`status` text NOT NULL,
	`attempt` integer NOT NULL,
	`is_error` integer NOT NULL,
	`digest` text NOT NULL,
	`result_length` integer NOT NULL,
	`revision` integer NOT NULL,
	`created_at` integer NOT NULL,
	`started_at` integer,
	`ended_at` integer,
	PRIMARY KEY(`org`, `id`)
) WITHOUT ROWID;

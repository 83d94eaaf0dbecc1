CREATE TABLE `calls` (
	`id` text PRIMARY KEY NOT NULL,
	`run_id` text NOT NULL,
	`org` text NOT NULL,
	`session_id` text NOT NULL,
	`turn_id` text,
	`key_id` text NOT NULL,
	`surface` text NOT NULL,
	`stream` integer NOT NULL,
	`context_mode` text NOT NULL,
	`model_asked` text NOT NULL,
	`model` text,
	`provider` text,
	`status` text NOT NULL,
	`finish_reason` text,
	`tokens_fresh` integer,
	`tokens_cache_read` integer,
	`tokens_cache_write` integer,
	`tokens_output` integer,
	`tokens_reasoning` integer,
	`usage_native` text,
	`cost_micros_usd` integer,
	`latency_gateway_ms` integer NOT NULL,
	`latency_first_byte_ms` integer,
	`latency_total_ms` integer NOT NULL,
	`attempts` text NOT NULL,
	`losses` text NOT NULL,
	`error` text,
	`metadata` text,
	`created_at` integer NOT NULL,
	`ended_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `calls_by_session` ON `calls` (`org`,`session_id`,`created_at`);--> statement-breakpoint
CREATE INDEX `calls_by_time` ON `calls` (`org`,`created_at`);--> statement-breakpoint
CREATE TABLE `runs` (
	`id` text PRIMARY KEY NOT NULL,
	`org` text NOT NULL,
	`session_id` text NOT NULL,
	`key_id` text NOT NULL,
	`status` text NOT NULL,
	`stop_reason` text NOT NULL,
	`created_at` integer NOT NULL,
	`ended_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `runs_by_session` ON `runs` (`org`,`session_id`,`created_at`);--> statement-breakpoint
CREATE INDEX `runs_by_time` ON `runs` (`org`,`created_at`);
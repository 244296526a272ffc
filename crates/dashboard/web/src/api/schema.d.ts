// Made by `make web-types` from the OpenAPI document. Not to be edited.
export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description A page of asset_events, and how many there are on all pages. */
        AssetEventCollectionResponse: {
            asset_events: null[];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description Where a scheduler is with a source. */
        AtSource: {
            commit: string | null;
            hostname: string;
            scheduler: string;
            state: string;
        };
        /** @description One attempt, and what proves its end. */
        Attempt: {
            /** @description Who pays: the task's retries, or those of the infrastructure. */
            budget: string | null;
            /** Format: date-time */
            ended_at: string | null;
            evidence: unknown;
            host: string | null;
            message: string | null;
            /** Format: date-time */
            queued_at: string | null;
            reason: string | null;
            /** Format: date-time */
            started_at: string | null;
            state: string;
            /** Format: int32 */
            try_number: number;
        };
        /** @description One attempt. */
        AttemptShown: {
            /** @description The pod that its task asks for; none where it asks for no pod. */
            asked: {
                [key: string]: unknown;
            } | null;
            budget: string | null;
            /** @description The program and its arguments. */
            command: string[];
            cwd: string | null;
            /** Format: date-time */
            ended_at: string | null;
            env: components["schemas"]["Variable"][];
            /** @description The facts that its state follows from. */
            evidence: {
                [key: string]: unknown;
            } | null;
            /** @description The object that ran: the pod's uid, or the supervisor's folder. */
            handle: string | null;
            host: string | null;
            image: string | null;
            /** Format: uint64 */
            memory_limit: number | null;
            message: string | null;
            /** @description The pod as the cluster had it at its end: its spec, the states of its containers and its events. None: it ended well, or was no pod. */
            pod: {
                [key: string]: unknown;
            } | null;
            pool: string;
            queue: string;
            /** Format: date-time */
            queued_at: string | null;
            reason: string | null;
            /** @description `kubernetes`, `process`, `manual`; none before its end. */
            runner: string | null;
            /** Format: int32 */
            slots: number;
            /** Format: date-time */
            started_at: string | null;
            state: string;
            /** Format: double */
            timeout_seconds: number | null;
            /** Format: int32 */
            try_number: number;
        };
        /** @description A page of backfills, and how many there are on all pages. */
        BackfillCollectionResponse: {
            backfills: components["schemas"]["BackfillResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A backfill, and how its runs stand. */
        BackfillProgress: {
            /** Format: date-time */
            completed_at: string | null;
            /** Format: date-time */
            created_at: string;
            dag_display_name: string;
            dag_id: string;
            /** @description What each of its runs is given. */
            dag_run_conf: {
                [key: string]: unknown;
            } | null;
            /** Format: date-time */
            from_date: string;
            /** Format: int64 */
            id: number;
            is_paused: boolean;
            /** Format: int32 */
            max_active_runs: number;
            /** @enum {string} */
            reprocess_behavior: "failed" | "completed" | "none";
            run_backwards: boolean;
            /** @description How many of its runs are in which state. */
            run_counts: {
                [key: string]: number;
            };
            /** Format: date-time */
            to_date: string;
            triggering_user_name: string | null;
            /** Format: date-time */
            updated_at: string;
        };
        /** @description A page of backfills, and how many there are on all pages. */
        BackfillProgressCollection: {
            backfills: components["schemas"]["BackfillProgress"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description Runs for a stretch of the past. */
        BackfillResponse: {
            /** Format: date-time */
            completed_at: string | null;
            /** Format: date-time */
            created_at: string;
            dag_display_name: string;
            dag_id: string;
            /** @description What each of its runs is given. */
            dag_run_conf: {
                [key: string]: unknown;
            } | null;
            /** Format: date-time */
            from_date: string;
            /** Format: int64 */
            id: number;
            is_paused: boolean;
            /** Format: int32 */
            max_active_runs: number;
            /** @enum {string} */
            reprocess_behavior: "failed" | "completed" | "none";
            /** Format: date-time */
            to_date: string;
            /** Format: date-time */
            updated_at: string;
        };
        /** @description The tasks of a run, each at its place in every list. */
        Bars: {
            dag_id: string;
            dag_run_id: string;
            ends: (number | null)[];
            /** @description -1: it is not mapped. */
            map_indexes: number[];
            /** @description Places of those that have a note. */
            notes: number[];
            /** @enum {string} */
            run_state: "queued" | "running" | "success" | "failed";
            /** @description Which of `words` says why it is in its state; -1: none does. */
            says: number[];
            /** @description Milliseconds since 1970. */
            starts: (number | null)[];
            /** @description Letters, as those of a grid. */
            states: string;
            /** @description Places of those that are being stopped. */
            stopping: number[];
            task_ids: string[];
            tries: number[];
            words: string[];
        };
        BaseInfoResponse: {
            /** @enum {string|null} */
            status: "healthy" | "unhealthy" | null;
        };
        /** @description A file that cannot be read. */
        BrokenFile: {
            bundle_name: string;
            filename: string;
            /** Format: int64 */
            import_error_id: number;
            /** @description Empty: a scheduler of an older version read it. */
            mistakes: components["schemas"]["FileMistake"][];
            /** @description All of it as one text. */
            text: string;
            /** Format: date-time */
            timestamp: string;
        };
        /** @description A page of files, and how many there are on all pages. */
        BrokenFileCollection: {
            files: components["schemas"]["BrokenFile"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description What was not done, and why. */
        BulkActionError: {
            error: string;
            /**
             * Format: uint16
             * @description That the same request would have got by itself.
             */
            status_code: number;
        };
        /** @description What became of the actions of one kind. */
        BulkActionResponse: {
            errors: components["schemas"]["BulkActionError"][];
            /** @description To whom it was done. */
            success: string[];
        };
        /** @description The answer: a part for each kind of action that was asked for. */
        BulkResponse: {
            create: components["schemas"]["BulkActionResponse"] | null;
            delete: components["schemas"]["BulkActionResponse"] | null;
            update: components["schemas"]["BulkActionResponse"] | null;
        };
        /** @description Runs by day or hour. */
        Calendar: {
            /** @description Those without a run are left out. */
            buckets: components["schemas"]["CalendarBucket"][];
            dag_id: string;
            /**
             * Format: date-time
             * @description When the first of all runs was due.
             */
            first: string | null;
            /**
             * Format: date-time
             * @description Up to when runs are planned, where there would be more than 10,000.
             */
            planned_until: string | null;
            zone: string;
        };
        /** @description A day or an hour with runs in it. */
        CalendarBucket: {
            /** @description How many runs are in which state; those that are not there yet are `planned`. */
            counts: {
                [key: string]: number;
            };
            /**
             * Format: date-time
             * @description When it begins, for asking for its runs.
             */
            from: string;
            /** @description As the clocks of the zone show it: `2026-11-27`, or `2026-11-27T13`. */
            label: string;
            /**
             * Format: date-time
             * @description When the next begins.
             */
            to: string;
        };
        /** @description A class of Python. */
        ClassRef: {
            class_name: string;
            module_path: string;
        };
        /** @description What was taken away of partitions. */
        ClearPartitionsResponse: {
            /** Format: int64 */
            dag_runs_cleared: number;
            dry_run: boolean;
            /** Format: int64 */
            task_instances_cleared: number;
        };
        /** @description What was cleared, or would be. */
        ClearTaskInstanceCollectionResponse: {
            /** @description The first thousand of them. */
            task_instances: (components["schemas"]["TaskInstanceResponse"] | components["schemas"]["NewTaskResponse"])[];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A page of connections, and how many there are on all pages. */
        ConnectionCollectionResponse: {
            connections: components["schemas"]["ConnectionResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A connection. What is secret of it is masked. */
        ConnectionResponse: {
            conn_type: string;
            connection_id: string;
            description: string | null;
            /** @description JSON, with masks for what has a secret's name. */
            extra: string | null;
            host: string | null;
            login: string | null;
            /** @description A mask, where there is one. */
            password: string | null;
            /** Format: int32 */
            port: number | null;
            schema: string | null;
            team_name: null;
        };
        /** @description A page of dags, and how many there are on all pages. */
        DAGCollectionResponse: {
            dags: components["schemas"]["DAGResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A DAG with its details. */
        DAGDetailsResponse: {
            /** Format: int64 */
            active_runs_count: number;
            allowed_run_types: null;
            asset_expression: null;
            bundle_name: string;
            bundle_version: string | null;
            catchup: boolean;
            /** Format: uint32 */
            concurrency: number;
            dag_display_name: string;
            dag_id: string;
            /** @description As ISO 8601. */
            dag_run_timeout: string | null;
            default_args: {
                [key: string]: unknown;
            };
            description: string | null;
            doc_md: string | null;
            /** Format: date-time */
            end_date: string | null;
            file_token: string;
            fileloc: string;
            has_import_errors: boolean;
            has_task_concurrency_limits: boolean;
            is_backfillable: boolean;
            /** @description Of who asks. */
            is_favorite: boolean;
            is_paused: boolean;
            is_paused_upon_creation: boolean | null;
            /** @description Whether its file no longer has it. */
            is_stale: boolean;
            last_expired: null;
            /**
             * Format: double
             * @description In seconds.
             */
            last_parse_duration: number;
            /** Format: date-time */
            last_parsed: string;
            /** Format: date-time */
            last_parsed_time: string;
            latest_dag_version: components["schemas"]["DagVersionResponse"];
            /** Format: int32 */
            max_active_runs: number;
            /** Format: uint32 */
            max_active_tasks: number;
            /** Format: uint32 */
            max_consecutive_failed_dag_runs: number;
            /** Format: date-time */
            next_dagrun_data_interval_end: string | null;
            /** Format: date-time */
            next_dagrun_data_interval_start: string | null;
            /** Format: date-time */
            next_dagrun_logical_date: string | null;
            /** Format: date-time */
            next_dagrun_run_after: string | null;
            owner_links: {
                [key: string]: string;
            };
            owners: string[];
            params: {
                [key: string]: components["schemas"]["Param"];
            };
            relative_fileloc: string;
            render_template_as_native_obj: boolean;
            rerun_with_latest_version: null;
            /** Format: date-time */
            start_date: string | null;
            tags: components["schemas"]["DagTagResponse"][];
            template_search_path: null;
            timetable_description: string;
            timetable_partitioned: boolean;
            timetable_periodic: boolean;
            timetable_summary: string;
            timezone: string;
        };
        /** @description A DAG, as its newest version says. */
        DAGResponse: {
            allowed_run_types: null;
            bundle_name: string;
            bundle_version: string | null;
            dag_display_name: string;
            dag_id: string;
            description: string | null;
            file_token: string;
            fileloc: string;
            has_import_errors: boolean;
            has_task_concurrency_limits: boolean;
            is_backfillable: boolean;
            is_paused: boolean;
            /** @description Whether its file no longer has it. */
            is_stale: boolean;
            last_expired: null;
            /**
             * Format: double
             * @description In seconds.
             */
            last_parse_duration: number;
            /** Format: date-time */
            last_parsed_time: string;
            /** Format: int32 */
            max_active_runs: number;
            /** Format: uint32 */
            max_active_tasks: number;
            /** Format: uint32 */
            max_consecutive_failed_dag_runs: number;
            /** Format: date-time */
            next_dagrun_data_interval_end: string | null;
            /** Format: date-time */
            next_dagrun_data_interval_start: string | null;
            /** Format: date-time */
            next_dagrun_logical_date: string | null;
            /** Format: date-time */
            next_dagrun_run_after: string | null;
            owners: string[];
            relative_fileloc: string;
            tags: components["schemas"]["DagTagResponse"][];
            timetable_description: string;
            timetable_partitioned: boolean;
            timetable_periodic: boolean;
            timetable_summary: string;
        };
        /** @description A page of runs. */
        DAGRunCollectionResponse: {
            dag_runs: components["schemas"]["DAGRunResponse"][];
            /** @description The cursor of the page after this one. */
            next_cursor: string | null;
            /** @description The cursor of the page before this one. */
            previous_cursor: string | null;
            /**
             * Format: int64
             * @description How many there are on all pages; by cursor, at most `total_entries_limit`.
             */
            total_entries: number;
            /**
             * Format: int64
             * @description Where counting ended. Null: all were counted.
             */
            total_entries_limit: number | null;
        };
        /** @description A run of a DAG. */
        DAGRunResponse: {
            bundle_version: string | null;
            /** @description What was given to it when it was triggered. */
            conf: unknown;
            dag_display_name: string;
            dag_id: string;
            dag_run_id: string;
            dag_versions: components["schemas"]["DagVersionResponse"][];
            /** Format: date-time */
            data_interval_end: string | null;
            /** Format: date-time */
            data_interval_start: string | null;
            /**
             * Format: double
             * @description In seconds; null while it runs.
             */
            duration: number | null;
            /** Format: date-time */
            end_date: string | null;
            /** Format: date-time */
            last_scheduling_decision: string | null;
            /**
             * Format: date-time
             * @description Which interval. Null: it was triggered without a date.
             */
            logical_date: string | null;
            note: string | null;
            partition_date: null;
            partition_key: null;
            /** Format: date-time */
            queued_at: string;
            /** Format: date-time */
            run_after: string;
            /** @enum {string} */
            run_type: "backfill" | "scheduled" | "manual" | "operator_triggered" | "asset_triggered" | "asset_materialization";
            /** Format: date-time */
            start_date: string | null;
            /** @enum {string} */
            state: "queued" | "running" | "success" | "failed";
            triggered_by: string;
            triggering_user_name: string | null;
        };
        /** @description The file of a DAG, as it was when this version of it was read. */
        DAGSourceResponse: {
            content: string;
            dag_display_name: string;
            dag_id: string;
            /** Format: int32 */
            version_number: number;
        };
        /** @description A page of tags, and how many there are on all pages. */
        DAGTagCollectionResponse: {
            tags: string[];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A page of dag_versions, and how many there are on all pages. */
        DAGVersionCollectionResponse: {
            dag_versions: components["schemas"]["DagVersionResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A page of dag_warnings, and how many there are on all pages. */
        DAGWarningCollectionResponse: {
            dag_warnings: components["schemas"]["DAGWarningResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description What is odd about a DAG, and no error. */
        DAGWarningResponse: {
            dag_display_name: string;
            dag_id: string;
            message: string;
            /** Format: date-time */
            timestamp: string;
            warning_type: string;
        };
        /** @description What differs in what two versions say. */
        DagChange: {
            after: unknown;
            before: unknown;
            field: string | null;
            /** @description `added`, `removed`: a task; `changed`: a field. */
            kind: string;
            /** @description The task; null: the DAG itself. */
            task_id: string | null;
        };
        /** @description Two versions of a DAG. */
        DagDiff: {
            changes: components["schemas"]["DagChange"][];
            dag_id: string;
            /** Format: int32 */
            from_version: number;
            /** @description What differs in the files, each with some lines around it. */
            hunks: components["schemas"]["DiffLine"][][];
            /** Format: int32 */
            to_version: number;
        };
        /** @description Schedulers read the files. */
        DagProcessorInfoResponse: {
            latest_dag_processor_heartbeat: string | null;
            /** @enum {string|null} */
            status: "healthy" | "unhealthy" | null;
        };
        /** @description A folder or a repository, as the scheduler that was heard of last has it. */
        DagSource: {
            author: string | null;
            bundle: string;
            commit: string | null;
            committed_at: string | null;
            /** Format: int64 */
            dags: number;
            failing_since: string | null;
            /** @description When the server last answered, of a repository. */
            fetched_at: string | null;
            /** Format: int64 */
            files: number;
            /** Format: int64 */
            files_with_errors: number;
            /** @description `git` or `folder`. */
            kind: string;
            last_error: string | null;
            /** @description What is odd in it, and what was left out. */
            notes: string[];
            /** @description When files of it were last read. */
            read_at: string | null;
            schedulers: components["schemas"]["AtSource"][];
            /** @description The repository, branch and folder in it, or the folder. Free of credentials. */
            source: string;
            /** @description `starting`, `ok` or `degraded`. */
            state: string;
            subject: string | null;
        };
        /** @description Where DAG files come from, and the last commits, newest first. */
        DagSources: {
            commits: components["schemas"]["TakenCommit"][];
            sources: components["schemas"]["DagSource"][];
        };
        /** @description A page of dags, and how many there are on all pages. */
        DagStatsCollectionResponse: {
            dags: components["schemas"]["DagStatsResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description How the runs of a DAG stand. */
        DagStatsResponse: {
            dag_display_name: string;
            dag_id: string;
            stats: components["schemas"]["DagStatsStateResponse"][];
        };
        /** @description How many runs of a DAG are in a state. */
        DagStatsStateResponse: {
            /** Format: int64 */
            count: number;
            /** @enum {string} */
            state: "queued" | "running" | "success" | "failed";
        };
        /** @description A tag of a DAG. */
        DagTagResponse: {
            dag_display_name: string;
            dag_id: string;
            name: string;
        };
        /** @description One version of a DAG: what its file said from one moment on. */
        DagVersionResponse: {
            bundle_name: string | null;
            bundle_url: null;
            /** @description The commit of its file, where the bundle is a git repository. */
            bundle_version: string | null;
            /** Format: date-time */
            created_at: string;
            dag_display_name: string;
            dag_id: string;
            /** Format: uuid */
            id: string;
            /** Format: int32 */
            version_number: number;
        };
        /** @description A line of a file. */
        DiffLine: {
            /**
             * Format: uint
             * @description Its number after.
             */
            after: number | null;
            /**
             * Format: uint
             * @description Its number before.
             */
            before: number | null;
            /** @description `same`, `removed` or `added`. */
            kind: string;
            text: string;
        };
        /** @description How an installation is: the worst of its findings, and all of them. */
        DoctorReport: {
            findings: components["schemas"]["Finding"][];
            status: components["schemas"]["FindingStatus"];
            /** Format: int64 */
            uptime_seconds: number;
            version: string;
        };
        /** @description A page of backfills, and how many there are on all pages. */
        DryRunBackfillCollectionResponse: {
            backfills: components["schemas"]["DryRunBackfillResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A run that a backfill would make, or do again. */
        DryRunBackfillResponse: {
            /** Format: date-time */
            logical_date: string;
            partition_date: null;
            partition_key: null;
        };
        /** @description Something that happened to an instance. */
        Entry: {
            /** Format: date-time */
            at: string;
            /** @description Who paid for its failure: `user`, the task's own retries, or `infra`. */
            budget: string | null;
            /** @description Where the try ran. */
            host: string | null;
            /** @description In a sentence. */
            message: string | null;
            /** @description In a word, or what somebody asked for, and who: `clear by eve`. */
            reason: string | null;
            /** @description The state that it came into; null: none, it was cleared. */
            state: string | null;
            /**
             * Format: int32
             * @description At which try it was then; 0: at none yet.
             */
            try_number: number;
        };
        /** @description A page of event_logs, and how many there are on all pages. */
        EventLogCollectionResponse: {
            event_logs: components["schemas"]["EventLogResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description An entry of the audit log: who asked for what. */
        EventLogResponse: {
            dag_display_name: string | null;
            dag_id: string | null;
            event: string;
            /** Format: int64 */
            event_log_id: number;
            /** @description What was asked for, as JSON. */
            extra: string | null;
            /** Format: date-time */
            logical_date: string | null;
            /** Format: int32 */
            map_index: number | null;
            owner: string;
            run_id: string | null;
            task_display_name: string | null;
            task_id: string | null;
            /** Format: int32 */
            try_number: number | null;
            /** Format: date-time */
            when: string;
        };
        /** @description Links to elsewhere, by name. */
        ExtraLinkCollectionResponse: {
            extra_links: {
                [key: string]: string;
            };
            /** Format: int64 */
            total_entries: number;
        };
        /** @description One mistake. */
        FileMistake: {
            /** @description The lines around it. */
            around: components["schemas"]["SourceLines"] | null;
            /** @description Spaces and carets to print below its line. */
            caret: string | null;
            /** Format: int64 */
            column: number | null;
            dag_id: string | null;
            /** @description What to do about it. */
            hint: string | null;
            /** @description `syntax`, `import`, `unknown_key` and so on. */
            kind: string;
            /** Format: int64 */
            line: number | null;
            message: string;
            traceback: string | null;
        };
        /** @description What was looked at, and what was found. */
        Finding: {
            detail: string;
            id: string;
            name: string;
            remedy: string | null;
            status: components["schemas"]["FindingStatus"];
        };
        /** @enum {string} */
        FindingStatus: "ok" | "warn" | "fail";
        /** @description What became of the fleet's time. */
        FleetHistory: {
            /** @description Oldest first, without a gap. */
            points: components["schemas"]["FleetPoint"][];
            range: string;
            /** Format: int64 */
            step_seconds: number;
        };
        /** @description A step of time. Null: nobody counted, as no scheduler was alive, or this is from before it was counted. */
        FleetPoint: {
            /** Format: date-time */
            at: string;
            /** Format: int64 */
            failed: number | null;
            /** @description By queue the most that waited for a worker at the end of a minute. */
            queued: {
                [key: string]: number;
            };
            /**
             * Format: int64
             * @description Tries that failed and were followed by another.
             */
            retried: number | null;
            /**
             * Format: int64
             * @description The most that ran.
             */
            running: number | null;
            /** Format: int64 */
            skipped: number | null;
            /** Format: int64 */
            slots: number | null;
            /**
             * Format: int64
             * @description Task instances that ended so within it.
             */
            success: number | null;
            /**
             * Format: double
             * @description How long tries that ended within it had waited for a worker: half of them at most so long, in seconds.
             */
            wait_p50: number | null;
            /**
             * Format: double
             * @description All but one in twenty.
             */
            wait_p95: number | null;
            /** Format: int64 */
            workers: number | null;
        };
        /** @description A task or a group of a picture. */
        GraphBox: {
            /** Format: int32 */
            height: number;
            /** @description The task's, or the group's. */
            id: string;
            /** @description Of a group: whether what is in it is shown. */
            is_open: boolean;
            is_setup: boolean;
            is_teardown: boolean;
            /** @description `task`, or `group`. */
            kind: string;
            /** @description What it is called within the group around it. */
            label: string;
            /** @description Of a group: the tasks in it, and in groups in it. */
            members: string[];
            /** @description Of a task. */
            operator: string | null;
            /**
             * Format: uint
             * @description The place of the group around it among the boxes, which comes before this one.
             */
            parent: number | null;
            /** @description Of a task: what must be true of those before it, where that is not that all succeeded. */
            trigger_rule: string | null;
            /** Format: int32 */
            width: number;
            /** Format: int32 */
            x: number;
            /** Format: int32 */
            y: number;
        };
        /** @description A group that can be folded. */
        GraphGroup: {
            group_id: string;
            parent: string | null;
        };
        /** @description A piece of an arrow. */
        GraphLine: {
            /**
             * Format: uint
             * @description A place among the boxes; from the number of boxes on, a port in the border of an open group, where other lines go on.
             */
            from: number;
            /** @description It leads to the left, since groups wait for each other. */
            is_back: boolean;
            /** @description x, y, x, y, … */
            points: number[];
            /**
             * Format: uint
             * @description The same.
             */
            to: number;
        };
        /** @description A version of a DAG as boxes and lines, from left to right. */
        GraphPicture: {
            boxes: components["schemas"]["GraphBox"][];
            dag_id: string;
            /** @description All groups, shown or not, outer ones first. */
            groups: components["schemas"]["GraphGroup"][];
            /** Format: int32 */
            height: number;
            lines: components["schemas"]["GraphLine"][];
            /** Format: int32 */
            version_number: number;
            /** Format: int32 */
            width: number;
        };
        /** @description The tasks of a DAG in its latest runs. */
        Grid: {
            dag_id: string;
            /** @description Those of all versions, outer ones first. */
            groups: components["schemas"]["GridGroup"][];
            /** @description Whether older runs are there. */
            has_more: boolean;
            /** @description Newest first. */
            runs: components["schemas"]["GridColumn"][];
            /** @description In the order of the newest version; those that only older ones have come last. */
            tasks: components["schemas"]["GridTask"][];
        };
        /** @description A column of a grid. */
        GridColumn: {
            /**
             * @description A letter for each task: `s`uccess, `f`ailed, `u`pstream failed, `r`unning, `q`ueued, s`c`heduled, waiting to retr`y`, s`k`ipped, `x` removed,
             *     `n`o state yet, and `-` where the run has no such task. Of a mapped task the worst.
             */
            cells: string;
            dag_run_id: string;
            /** Format: double */
            duration: number | null;
            /** Format: date-time */
            end_date: string | null;
            note: string | null;
            /** Format: date-time */
            run_after: string;
            run_type: string;
            /** Format: date-time */
            start_date: string | null;
            /** @enum {string} */
            state: "queued" | "running" | "success" | "failed";
            /** Format: int32 */
            version_number: number;
        };
        /** @description A group of rows. */
        GridGroup: {
            group_id: string;
            /** @description What it is called within the group around it. */
            label: string;
            /** @description The group around it, which comes before it. */
            parent: string | null;
        };
        /** @description A row of a grid. */
        GridTask: {
            display_name: string;
            /** @description The innermost group that it is in. */
            group: string | null;
            /** @description Whether the newest version still has it. */
            is_current: boolean;
            is_setup: boolean;
            is_teardown: boolean;
            operator: string;
            task_id: string;
            /** @description Tasks that come before it. */
            upstream_task_ids: string[];
        };
        /** @description A group of lines. */
        GroupShown: {
            /**
             * Format: int64
             * @description The line that opens it.
             */
            from: number;
            name: string;
            /**
             * Format: int64
             * @description Its last line: the one that closes it, or the one before the next group, or the last of the log.
             */
            to: number;
        };
        /** @description Why not. */
        HTTPExceptionResponse: {
            detail: string | Record<string, never>;
        };
        /** @description All that is wrong with the values of a request. */
        HTTPValidationError: {
            detail: components["schemas"]["ValidationError"][];
        };
        /** @description A role that somebody has. */
        HasRole: {
            role: string;
            /** @description Over what: `*`, or some DAGs. */
            scope: string;
        };
        /** @description How the parts of an installation are. */
        HealthInfoResponse: {
            dag_processor: components["schemas"]["DagProcessorInfoResponse"];
            metadatabase: components["schemas"]["BaseInfoResponse"];
            scheduler: components["schemas"]["SchedulerInfoResponse"];
            triggerer: components["schemas"]["TriggererInfoResponse"];
            /** @description Not there while the database does not answer. */
            workers?: components["schemas"]["WorkersHealth"] | null;
        };
        /** @description All that happened to an instance, oldest first. */
        History: {
            dag_id: string;
            dag_run_id: string;
            entries: components["schemas"]["Entry"][];
            /** Format: int32 */
            map_index: number;
            task_id: string;
            /** Format: int64 */
            total_entries: number;
        };
        /** @description Where something is. */
        Hits: {
            /**
             * Format: int64
             * @description How many of them come before the first that is listed.
             */
            before: number;
            /** @description Whether no more will come. */
            end: boolean;
            /**
             * Format: int64
             * @description Lines that were searched.
             */
            lines: number;
            /** @description Numbers of lines, in order: those after `after`, as many as `limit` allows. */
            numbers: number[];
            /**
             * Format: int64
             * @description How many lines there are in all, before `after` and past the limit too.
             */
            total: number;
        };
        /** @description A page of import_errors, and how many there are on all pages. */
        ImportErrorCollectionResponse: {
            import_errors: components["schemas"]["ImportErrorResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A file that could not be read. */
        ImportErrorResponse: {
            bundle_name: string;
            filename: string;
            /** Format: int64 */
            import_error_id: number;
            /** @description What is wrong with it, and where. */
            stack_trace: string;
            /** Format: date-time */
            timestamp: string;
        };
        /** @description How the installation is. */
        InstallationHealth: {
            /** @description Why nothing is launched. Null: it is. */
            maintenance: string | null;
            parts: components["schemas"]["Part"][];
        };
        /** @description A page of jobs, and how many there are on all pages. */
        JobCollectionResponse: {
            jobs: components["schemas"]["JobResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A process of the installation. */
        JobResponse: {
            dag_display_name: null;
            dag_id: null;
            /** Format: date-time */
            end_date: string | null;
            executor_class: string | null;
            hostname: string;
            /** Format: uint */
            id: number;
            job_type: string;
            /** Format: date-time */
            latest_heartbeat: string;
            /** Format: date-time */
            start_date: string;
            state: string;
            unixname: string;
        };
        /** @description Some lines of a log. */
        Lines: {
            /** Format: int64 */
            bytes: number;
            /** @description Whether no more will come. */
            end: boolean;
            /** @description As they were written, without the line feed. What is longer than 16 KiB is cut, and says so. */
            lines: string[];
            /** @description A letter for each: `e`rror, `w`arning, `i`nfo, `d`ebug, `g`roup, its end `c`, or a space. */
            marks: string;
            /** @description What `follow` is asked with to hear of what comes after this. */
            next: string;
            /** @description Their numbers, in order; the first line of a log is 1. */
            numbers: number[];
            /** @description When the lines from each of these on were stored. */
            stored: components["schemas"]["Stored"][];
            /**
             * Format: int64
             * @description Lines of the log, with one that has no end yet.
             */
            total: number;
        };
        /** @description What stands for a password. */
        LoginResponse: {
            access_token: string;
        };
        /** @description Whether launches are stopped, since when, by whom and why. */
        Maintenance: {
            by: string | null;
            maintenance: boolean;
            reason: string | null;
            /** Format: date-time */
            since: string | null;
        };
        /** @description Who is logged in. */
        Me: {
            name: string;
            /** @description What they may do, each with over what: `*`, or some DAGs. */
            permissions: {
                [key: string]: string[];
            };
        };
        /** @description A task of the DAG's newest version that the run's version has not. */
        NewTaskResponse: {
            task_display_name: string;
            task_id: string;
        };
        /** @description A personal token that was just made. */
        NewToken: {
            /** Format: date-time */
            expires_at: string;
            id: string;
            name: string;
            permissions: string[] | null;
            /** @description What proves it: this answer is the only one that shows it. */
            token: string;
            user: string;
        };
        /** @description A session that was begun. */
        Opened: {
            /** Format: date-time */
            expires_at: string;
            name: string;
        };
        /** @description What a log is made of. */
        Outline: {
            end: boolean;
            /** Format: int64 */
            errors: number;
            /** Format: int64 */
            first_error: number | null;
            /** @description The first 10,000 of them. */
            groups: components["schemas"]["GroupShown"][];
            /** Format: int64 */
            last_error: number | null;
            /** Format: int64 */
            lines: number;
            /** Format: int64 */
            warnings: number;
        };
        /** @description The first screen. */
        Overview: {
            dags: components["schemas"]["OverviewDag"][];
            import_errors: components["schemas"]["OverviewError"][];
            /** Format: int64 */
            total_entries: number;
            version: string;
        };
        /** @description A DAG with its latest runs. */
        OverviewDag: {
            dag_display_name: string;
            dag_id: string;
            description: string | null;
            has_import_errors: boolean;
            is_paused: boolean;
            /** Format: date-time */
            next_run_after: string | null;
            owners: string[];
            relative_fileloc: string;
            runs: components["schemas"]["StripRun"][];
            schedule: string;
            schedule_description: string;
            tags: string[];
            /** Format: int32 */
            task_count: number;
        };
        /** @description A file that could not be read. */
        OverviewError: {
            filename: string;
            message: string;
            /** Format: date-time */
            timestamp: string;
        };
        /** @description A parameter of a DAG or a task. */
        Param: {
            description: string | null;
            /** @description The JSON Schema that a value must meet. */
            schema: {
                [key: string]: unknown;
            };
            source: null;
            /** @description Its default. */
            value: unknown;
        };
        /** @description A part of the installation. */
        Part: {
            detail: string;
            /** @description `database`, `broker`, `scheduler`, `dag_processor` or `workers`. */
            part: string;
            /** @description What to do. Null: nothing. */
            remedy: string | null;
            status: components["schemas"]["PartStatus"];
        };
        /** @description How a part is. */
        PartStatus: ("healthy" | "unhealthy") | "degraded" | "unknown";
        /** @description A personal token, without what proves it. */
        PersonalToken: {
            /** Format: date-time */
            created_at: string;
            expired: boolean;
            /** Format: date-time */
            expires_at: string;
            id: string;
            /** Format: date-time */
            last_used_at: string | null;
            name: string;
            /** @description At most these of its user's permissions; null: all of them. */
            permissions: string[] | null;
            user: string;
        };
        /** @description A page of tokens, and how many there are on all pages. */
        PersonalTokenCollection: {
            tokens: components["schemas"]["PersonalToken"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A page of pools, and how many there are on all pages. */
        PoolCollectionResponse: {
            pools: components["schemas"]["PoolResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A pool, and what is in it, in slots. */
        PoolResponse: {
            /** Format: int64 */
            deferred_slots: number;
            description: string | null;
            include_deferred: boolean;
            name: string;
            /** Format: int64 */
            occupied_slots: number;
            /**
             * Format: int64
             * @description -1: without limit.
             */
            open_slots: number;
            /** Format: int64 */
            queued_slots: number;
            /** Format: int64 */
            running_slots: number;
            /** Format: int64 */
            scheduled_slots: number;
            /**
             * Format: int64
             * @description -1: without limit.
             */
            slots: number;
            team_name: null;
        };
        /** @description A queue. */
        Queue: {
            /**
             * Format: int64
             * @description Attempts that began within the last minute.
             */
            begun_per_minute: number;
            /**
             * Format: uint32
             * @description Consumers that RabbitMQ sees: workers with room.
             */
            broker_consumers: number | null;
            /**
             * Format: uint32
             * @description Messages that RabbitMQ has ready. A message is a hint: `queued` is the truth. Null where it was not asked.
             */
            broker_messages: number | null;
            /**
             * Format: int64
             * @description Workers of it that drain.
             */
            draining: number;
            /**
             * Format: int64
             * @description Attempts that ended within the last minute.
             */
            ended_per_minute: number;
            /**
             * Format: double
             * @description How long the oldest has waited.
             */
            oldest_seconds: number | null;
            queue: string;
            /**
             * Format: int64
             * @description Attempts that wait for a worker.
             */
            queued: number;
            /**
             * Format: int64
             * @description Attempts that were taken from it and go on.
             */
            running: number;
            /**
             * Format: int64
             * @description How many attempts they may watch at once, those of their other queues included.
             */
            slots: number;
            /**
             * Format: int64
             * @description Workers that take from it, and are not draining.
             */
            workers: number;
        };
        /** @description Queues, by name. */
        Queues: {
            /** @description Why RabbitMQ's own counts are missing. Null: they are here, or there is no RabbitMQ. */
            broker_error: string | null;
            queues: components["schemas"]["Queue"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description What runs again. */
        Rerun: {
            dag_id: string;
            dag_run_id: string;
            /**
             * Format: int64
             * @description How many instances.
             */
            total_entries: number;
        };
        /** @description A role, with what it permits. */
        Role: {
            built_in: boolean;
            /** Format: date-time */
            created_at: string | null;
            name: string;
            permissions: string[];
        };
        /** @description A page of roles, and how many there are on all pages. */
        RoleCollection: {
            roles: components["schemas"]["Role"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A task of a run, with its reason. */
        RunTask: {
            /** Format: double */
            duration: number | null;
            /** Format: date-time */
            end_date: string | null;
            hostname: string | null;
            intent: string | null;
            /** Format: int32 */
            map_index: number;
            /** Format: int32 */
            max_tries: number;
            message: string | null;
            /** Format: date-time */
            next_attempt_at: string | null;
            note: string | null;
            operator: string;
            reason: string | null;
            /** Format: date-time */
            start_date: string | null;
            /** @enum {string|null} */
            state: "removed" | "scheduled" | "queued" | "running" | "success" | "restarting" | "failed" | "up_for_retry" | "up_for_reschedule" | "upstream_failed" | "skipped" | "deferred" | "awaiting_input" | null;
            task_id: string;
            trigger_rule: string;
            /** Format: int32 */
            try_number: number;
            upstream_task_ids: string[];
        };
        /** @description The tasks of a run. */
        RunTasks: {
            dag_id: string;
            dag_run_id: string;
            /** @enum {string} */
            run_state: "queued" | "running" | "success" | "failed";
            tasks: components["schemas"]["RunTask"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A run, and how many of its tasks are in which state. */
        RunWithCounts: {
            bundle_version: string | null;
            /** @description What was given to it when it was triggered. */
            conf: unknown;
            dag_display_name: string;
            dag_id: string;
            dag_run_id: string;
            dag_versions: components["schemas"]["DagVersionResponse"][];
            /** Format: date-time */
            data_interval_end: string | null;
            /** Format: date-time */
            data_interval_start: string | null;
            /**
             * Format: double
             * @description In seconds; null while it runs.
             */
            duration: number | null;
            /** Format: date-time */
            end_date: string | null;
            /** Format: date-time */
            last_scheduling_decision: string | null;
            /**
             * Format: date-time
             * @description Which interval. Null: it was triggered without a date.
             */
            logical_date: string | null;
            note: string | null;
            partition_date: null;
            partition_key: null;
            /** Format: date-time */
            queued_at: string;
            reason: string | null;
            /** Format: date-time */
            run_after: string;
            /** @enum {string} */
            run_type: "backfill" | "scheduled" | "manual" | "operator_triggered" | "asset_triggered" | "asset_materialization";
            /** Format: date-time */
            start_date: string | null;
            /** @enum {string} */
            state: "queued" | "running" | "success" | "failed";
            /** Format: int32 */
            task_count: number;
            task_counts: {
                [key: string]: number;
            };
            triggered_by: string;
            triggering_user_name: string | null;
        };
        /** @description A scheduler. */
        Scheduler: {
            /** @description Who reads the files: what is wrong with that, in words. Null: nothing. */
            dag_processor_error: string | null;
            /**
             * Format: int64
             * @description How often the process that reads files was started, where it is one of its own.
             */
            dag_processor_starts: number | null;
            /** @description Files that ended that process twice and are not read any more. */
            files_set_aside: string[];
            hostname: string;
            id: string;
            /** Format: date-time */
            latest_heartbeat: string;
            /** Format: int32 */
            pid: number;
            /** @description The sources that it reads, or has read. */
            sources: string[];
            /** Format: date-time */
            start_date: string;
            /** @description `running` or `silent`. */
            state: string;
            /** @description Its version. Null: it is of one that does not say. */
            version: string | null;
        };
        SchedulerInfoResponse: {
            latest_scheduler_heartbeat: string | null;
            /** @enum {string|null} */
            status: "healthy" | "unhealthy" | null;
        };
        /** @description Schedulers, the liveliest first. */
        Schedulers: {
            schedulers: components["schemas"]["Scheduler"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description Lines of a file. */
        SourceLines: {
            /**
             * Format: int64
             * @description The number of the first one.
             */
            first: number;
            lines: string[];
        };
        /** @description From when on lines were stored. */
        Stored: {
            /** Format: date-time */
            at: string;
            /** Format: int64 */
            line: number;
        };
        /** @description A run in the strip of a DAG. */
        StripRun: {
            dag_run_id: string;
            /** Format: double */
            duration: number | null;
            /** Format: date-time */
            run_after: string;
            run_type: string;
            /** Format: date-time */
            start_date: string | null;
            /** @enum {string} */
            state: "queued" | "running" | "success" | "failed";
        };
        /** @description A line of a log. */
        StructuredLogMessage: {
            event: string;
            level?: string | null;
            logger?: string | null;
            /**
             * Format: date-time
             * @description When it was stored. Lines about the log itself have none.
             */
            timestamp?: string | null;
        };
        /** @description A commit that was taken, and what came of it. */
        TakenCommit: {
            author: string | null;
            bundle: string;
            /** @description DAGs that got another version by it. */
            changed: string[];
            commit: string;
            /** Format: date-time */
            committed_at: string | null;
            /**
             * Format: int32
             * @description Files of it that could not be read.
             */
            files_with_errors: number;
            /** @description DAGs that no file had any more. */
            removed: string[];
            subject: string | null;
            /** Format: date-time */
            taken_at: string;
        };
        /** @description A page of tasks, and how many there are on all pages. */
        TaskCollectionResponse: {
            tasks: components["schemas"]["TaskResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description All that keeps an instance from being queued. */
        TaskDependencyCollectionResponse: {
            dependencies: components["schemas"]["TaskDependencyResponse"][];
        };
        /** @description What keeps an instance from being queued. */
        TaskDependencyResponse: {
            name: string;
            reason: string;
        };
        /** @description How a task fared. */
        TaskFare: {
            /**
             * Format: uint
             * @description In how many of the runs it failed.
             */
            failures: number;
            /**
             * Format: double
             * @description How long it took when it last ended by itself, in seconds.
             */
            last_duration: number | null;
            /**
             * Format: date-time
             * @description When it last started.
             */
            last_start: string | null;
            /** Format: double */
            longest_duration: number | null;
            /**
             * Format: int64
             * @description Of a mapped task: how many instances it had in the newest run.
             */
            mapped: number | null;
            /**
             * Format: double
             * @description The middle of its durations.
             */
            median_duration: number | null;
            /** @description A letter for each run, as in the grid; the newest is the last. */
            states: string;
            task_id: string;
        };
        /** @description How the tasks of a DAG's newest version fared. */
        TaskFares: {
            dag_id: string;
            /**
             * Format: uint
             * @description How many runs were looked at.
             */
            runs: number;
            /** @description In the order of the file. */
            tasks: components["schemas"]["TaskFare"][];
        };
        /** @description A page of task instances. */
        TaskInstanceCollectionResponse: {
            /** @description The cursor of the page after this one. */
            next_cursor: string | null;
            /** @description The cursor of the page before this one. */
            previous_cursor: string | null;
            task_instances: components["schemas"]["TaskInstanceResponse"][];
            /**
             * Format: int64
             * @description How many there are on all pages; by cursor, at most `total_entries_limit`.
             */
            total_entries: number;
            /**
             * Format: int64
             * @description Where counting ended. Null: all were counted.
             */
            total_entries_limit: number | null;
        };
        /** @description A page of task_instances, and how many there are on all pages. */
        TaskInstanceHistoryCollectionResponse: {
            task_instances: components["schemas"]["TaskInstanceHistoryResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description One try of a task instance. */
        TaskInstanceHistoryResponse: {
            dag_display_name: string;
            dag_id: string;
            dag_run_id: string;
            dag_version: components["schemas"]["DagVersionResponse"];
            /** Format: double */
            duration: number | null;
            /** Format: date-time */
            end_date: string | null;
            executor: null;
            executor_config: string;
            hitl_detail: null;
            hostname: string;
            /** Format: int32 */
            map_index: number;
            /** Format: int32 */
            max_tries: number;
            operator: string;
            operator_name: string;
            pid: null;
            pool: string;
            /** Format: int32 */
            pool_slots: number;
            /** Format: int32 */
            priority_weight: number | null;
            queue: string;
            /** Format: date-time */
            queued_when: string | null;
            /** Format: date-time */
            scheduled_when: string | null;
            /** Format: date-time */
            start_date: string | null;
            /** @enum {string|null} */
            state: "removed" | "scheduled" | "queued" | "running" | "success" | "restarting" | "failed" | "up_for_retry" | "up_for_reschedule" | "upstream_failed" | "skipped" | "deferred" | "awaiting_input" | null;
            task_display_name: string;
            task_id: string;
            /** Format: int32 */
            try_number: number;
            unixname: string;
        };
        /** @description A page of task_instances, and how many there are on all pages. */
        TaskInstanceListResponse: {
            task_instances: components["schemas"]["TaskInstanceResponse"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description A task of a run. */
        TaskInstanceResponse: {
            dag_display_name: string;
            dag_id: string;
            dag_run_id: string;
            dag_version: components["schemas"]["DagVersionResponse"];
            /**
             * Format: double
             * @description In seconds; null while it runs.
             */
            duration: number | null;
            /** Format: date-time */
            end_date: string | null;
            executor: null;
            executor_config: string;
            hostname: string;
            /** Format: uuid */
            id: string;
            /** Format: date-time */
            logical_date: string | null;
            /**
             * Format: int32
             * @description -1: it is not mapped.
             */
            map_index: number;
            /** Format: int32 */
            max_tries: number;
            note: string | null;
            operator: string;
            operator_name: string;
            pid: null;
            pool: string;
            /** Format: int32 */
            pool_slots: number;
            /** Format: int32 */
            priority_weight: number;
            queue: string;
            /** Format: date-time */
            queued_when: string | null;
            /** @description The templates of the task as they became, by the names of the operator's arguments. What has a secret's name is masked. */
            rendered_fields: {
                [key: string]: unknown;
            };
            rendered_map_index: null;
            /** Format: date-time */
            run_after: string;
            /** Format: date-time */
            scheduled_when: string | null;
            /** Format: date-time */
            start_date: string | null;
            /** @enum {string|null} */
            state: "removed" | "scheduled" | "queued" | "running" | "success" | "restarting" | "failed" | "up_for_retry" | "up_for_reschedule" | "upstream_failed" | "skipped" | "deferred" | "awaiting_input" | null;
            task_display_name: string;
            task_id: string;
            trigger: null;
            triggerer_job: null;
            /** Format: int32 */
            try_number: number;
            unixname: string;
        };
        /** @description A piece of a log. */
        TaskInstancesLogResponse: {
            content: components["schemas"]["StructuredLogMessage"][];
            /** @description The parameter `token` of the request for what comes next. Null: that was all. */
            continuation_token: string | null;
        };
        /** @description A task of a DAG. Airflow's numbers are floats here. */
        TaskResponse: {
            class_ref: components["schemas"]["ClassRef"];
            depends_on_past: boolean;
            doc_md: string | null;
            downstream_task_ids: string[];
            /** Format: date-time */
            end_date: string | null;
            execution_timeout: components["schemas"]["TimeDelta"] | null;
            extra_links: unknown[];
            is_mapped: boolean;
            operator_name: string;
            owner: string;
            params: {
                [key: string]: components["schemas"]["Param"];
            };
            pool: string;
            /** Format: double */
            pool_slots: number;
            /** Format: double */
            priority_weight: number;
            queue: string;
            /** Format: double */
            retries: number;
            retry_delay: components["schemas"]["TimeDelta"];
            /** Format: double */
            retry_exponential_backoff: number;
            /** Format: date-time */
            start_date: string | null;
            task_display_name: string;
            task_id: string;
            template_fields: string[];
            trigger_rule: string;
            ui_color: string;
            ui_fgcolor: string;
            wait_for_downstream: boolean;
            weight_rule: string;
        };
        /** @description Airflow's form of a duration in a task. */
        TimeDelta: {
            /** @description Always `TimeDelta`. */
            __type: string;
            /** Format: uint64 */
            days: number;
            /** Format: uint64 */
            microseconds: number;
            /** Format: uint64 */
            seconds: number;
        };
        /** @description There is none: the scheduler looks after what is deferred. */
        TriggererInfoResponse: {
            latest_triggerer_heartbeat: null;
            status: null;
        };
        /** @description A user, without what proves them. */
        User: {
            active: boolean;
            /** Format: date-time */
            created_at: string;
            display_name: string | null;
            email: string | null;
            has_password: boolean;
            /** Format: date-time */
            last_login_at: string | null;
            name: string;
            /** @description The issuer of who logs in with OpenID Connect. */
            origin: string | null;
            roles: components["schemas"]["HasRole"][];
        };
        /** @description A page of users, and how many there are on all pages. */
        UserCollection: {
            /** Format: int64 */
            total_entries: number;
            users: components["schemas"]["User"][];
        };
        /** @description A value that is not valid. */
        ValidationError: {
            ctx?: Record<string, never>;
            /** @description The value. */
            input: unknown;
            loc: (string | number)[];
            msg: string;
            type: string;
        };
        /** @description A variable of the environment. */
        Variable: {
            name: string;
            /** @description `***` where it is a secret. */
            value: string;
        };
        /** @description A page of variables, and how many there are on all pages. */
        VariableCollectionResponse: {
            /** Format: int64 */
            total_entries: number;
            variables: components["schemas"]["VariableResponse"][];
        };
        /** @description A variable. Its value is masked where its key is that of a secret. */
        VariableResponse: {
            description: string | null;
            is_encrypted: boolean;
            key: string;
            team_name: null;
            /** @description Null in a list: the key that it was sealed with is gone. */
            value: string | null;
        };
        /** @description Whose shapes these are, and what makes them. */
        VersionInfo: {
            /** @description `updraft`, and its version. */
            git_version: string;
            /** @description The version of Airflow whose API this is. */
            version: string;
        };
        /** @description How a run stands, and what its tasks returned. */
        Waited: {
            /** @description By task: of those that were asked for and left something. */
            results?: {
                [key: string]: unknown;
            };
            /** @enum {string} */
            state: "queued" | "running" | "success" | "failed";
        };
        /** @description One thing that stands in the way. */
        Waiting: {
            detail: string;
            kind: string;
            remedy?: string | null;
            state?: string | null;
            task_id?: string | null;
        };
        /** @description An attempt that a worker watches. */
        WatchedAttempt: {
            dag_id: string;
            dag_run_id: string;
            /** @description Where it stands before its command runs: `ImagePullBackOff: …`. */
            detail: string | null;
            /** Format: int32 */
            map_index: number;
            pool: string;
            queue: string;
            /** Format: date-time */
            start_date: string | null;
            task_id: string;
        };
        /** @description What a worker watches, the longest first. */
        WatchedAttempts: {
            attempts: components["schemas"]["WatchedAttempt"][];
            /** Format: int64 */
            total_entries: number;
        };
        /** @description How many schedulers were told. */
        WebhookAnswer: {
            /** Format: uint */
            schedulers: number;
        };
        /** @description Why a task waits; of one that is over, how it ended. */
        WhyAnswer: {
            attempts: components["schemas"]["Attempt"][];
            /** Format: int32 */
            attempts_left: number;
            budget: string | null;
            dag_id: string;
            dag_run_id: string;
            evidence: unknown;
            log: string | null;
            /** Format: int32 */
            map_index: number;
            /** Format: int32 */
            max_tries: number;
            message: string | null;
            /** Format: date-time */
            next_attempt_at: string | null;
            reason: string | null;
            run_state: string;
            /** Format: date-time */
            since: string | null;
            state: string | null;
            summary: string;
            task_id: string;
            /** Format: int32 */
            try_number: number;
            waiting: components["schemas"]["Waiting"][];
        };
        /** @description A worker. */
        Worker: {
            /** Format: int32 */
            concurrency: number;
            drain_reason: string | null;
            drained_by: string | null;
            /** Format: date-time */
            draining_since: string | null;
            hostname: string;
            id: string;
            /** Format: date-time */
            latest_heartbeat: string;
            /** Format: int32 */
            pid: number;
            queues: string[];
            /** @description `process` or `kubernetes`. */
            runner: string;
            /**
             * Format: int64
             * @description Attempts that it watches.
             */
            running: number;
            /** Format: date-time */
            start_date: string;
            /** @description `running`, `draining` (takes nothing new), `drained` (and watches nothing any more), `silent`, `stopped`. */
            state: string;
            /** @description Its version. Null: it is of one that does not say. */
            version: string | null;
        };
        /** @description Workers, the liveliest first. */
        Workers: {
            /** Format: int64 */
            total_entries: number;
            workers: components["schemas"]["Worker"][];
        };
        WorkersHealth: {
            /**
             * Format: uint
             * @description How many are alive.
             */
            count: number;
            latest_worker_heartbeat: string | null;
            /** @enum {string|null} */
            status: "healthy" | "unhealthy" | null;
        };
        /** @description A page of xcom_entries, and how many there are on all pages. */
        XComCollectionResponse: {
            /** Format: int64 */
            total_entries: number;
            xcom_entries: components["schemas"]["XComResponse"][];
        };
        /** @description What a task left, without its value. */
        XComResponse: {
            dag_display_name: string;
            dag_id: string;
            key: string;
            /** Format: date-time */
            logical_date: string | null;
            /** Format: int32 */
            map_index: number;
            /** Format: date-time */
            run_after: string;
            run_id: string;
            task_display_name: string;
            task_id: string;
            /** Format: date-time */
            timestamp: string;
        };
        /** @description What a task left. */
        XComResponseNative: {
            dag_display_name: string;
            dag_id: string;
            key: string;
            /** Format: date-time */
            logical_date: string | null;
            /** Format: int32 */
            map_index: number;
            /** Format: date-time */
            run_after: string;
            run_id: string;
            task_display_name: string;
            task_id: string;
            /** Format: date-time */
            timestamp: string;
            /** @description Any JSON; with `stringify`, the JSON as text. */
            value: unknown;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;

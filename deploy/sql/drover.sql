-- drover in a PostgreSQL database: which tasks' rows are there, and which jobs are over.
--
-- `drover sink init` runs this; it may be run again and leaves what is there. Everything is in the
-- schema drover. A worker's role needs USAGE on the schema and EXECUTE on commit_tasks, landed, fence and
-- version, and INSERT on the tables that rows go to; it can read and write nothing else here.

CREATE SCHEMA IF NOT EXISTS drover;

-- One row for each task whose rows have landed, written in the transaction of those rows: the sum of
-- nrows is the number of rows that drover ever put into the tables. A job may have several sinks in one
-- database; `sink` is the place among its sinks, from 0.
CREATE TABLE IF NOT EXISTS drover.ledger (
    job    uuid        NOT NULL,
    task   bigint      NOT NULL,
    sink   smallint    NOT NULL,
    nrows  integer     NOT NULL,
    landed timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job, task, sink)
);

-- Jobs of which nothing is taken any more, up to a generation.
CREATE TABLE IF NOT EXISTS drover.fenced (
    job        uuid        PRIMARY KEY,
    generation bigint      NOT NULL,
    since      timestamptz NOT NULL DEFAULT now()
);

CREATE OR REPLACE FUNCTION drover.version() RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS 'SELECT 1';

-- The last statement of a batch before its COMMIT. A task that is there already makes it fail with
-- unique_violation on drover.ledger, a job that was fenced with SQLSTATE DR001; either way nothing of the
-- batch stays. The arrays have one element for each task.
--
-- The advisory lock of a job is shared by all who write rows of it until their transactions end, and
-- taken alone by fence(): once that has returned, what was under way is over and what comes is refused.
-- The statements see what was committed before they begin (read committed), so the look at drover.fenced
-- comes after the lock.
CREATE OR REPLACE FUNCTION drover.commit_tasks(jobs uuid[], generations bigint[], tasks bigint[],
                                               sinks smallint[], nrows integer[])
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, drover AS $$
DECLARE
    stale uuid;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(j::text, 8391))
       FROM (SELECT DISTINCT unnest(jobs) AS j ORDER BY 1) AS d;
    SELECT f.job INTO stale
      FROM unnest(jobs, generations) AS t(job, generation)
      JOIN drover.fenced AS f ON f.job = t.job AND t.generation <= f.generation LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'job % takes no more rows', stale
            USING ERRCODE = 'DR001', DETAIL = stale::text;
    END IF;
    INSERT INTO drover.ledger (job, task, sink, nrows)
    SELECT t.job, t.task, t.sink, t.n
      FROM unnest(jobs, tasks, sinks, nrows) AS t(job, task, sink, n) ORDER BY 1, 2, 3;
END $$;

-- Which of these tasks have landed.
CREATE OR REPLACE FUNCTION drover.landed(jobs uuid[], tasks bigint[], sinks smallint[])
RETURNS TABLE (job uuid, task bigint, sink smallint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, drover AS $$
    SELECT l.job, l.task, l.sink FROM unnest(jobs, tasks, sinks) AS t(job, task, sink)
      JOIN drover.ledger AS l ON l.job = t.job AND l.task = t.task AND l.sink = t.sink
$$;

-- Nothing of the job's generations up to this one is taken once this has been committed.
CREATE OR REPLACE FUNCTION drover.fence(job_uid uuid, up_to bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, drover AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(job_uid::text, 8391));
    INSERT INTO drover.fenced (job, generation) VALUES (job_uid, up_to)
    ON CONFLICT (job) DO UPDATE SET generation = greatest(fenced.generation, excluded.generation);
END $$;

REVOKE ALL ON SCHEMA drover FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA drover FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA drover FROM PUBLIC;

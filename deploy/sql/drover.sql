-- drover in a PostgreSQL database: which tasks' rows are there, and which jobs are over.
--
-- `drover sink init` runs this; it may be run again and leaves what is there. Everything is in the
-- schema drover. A worker's role needs USAGE on the schema and EXECUTE on its functions, and INSERT on the
-- tables that rows go to; it can read and write nothing else here.
--
-- Functions that run as their owner name pg_temp, as the last of their search_path: where it is not named it is
-- looked at first, for types too, and a caller's own pg_temp.text would run the caller's code as the owner.

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
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS 'SELECT 2';

-- What binary COPY depends on: the table itself, its columns and their types. NULL when there is no such table.
-- The name is looked up as COPY does it, by the caller's search_path.
CREATE OR REPLACE FUNCTION drover.shape(target text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT pg_catalog.md5(pg_catalog.min(a.attrelid::pg_catalog.text) || pg_catalog.string_agg(
                       pg_catalog.format('%s %s %s %s', a.attnum, a.attname, a.atttypid, a.atttypmod), ','
                       ORDER BY a.attnum))
              FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid = pg_catalog.to_regclass(target) AND a.attnum > 0 AND NOT a.attisdropped);
END $$;

-- Called after the rows of a table were sent, which locks it: whether it is what it was when they were encoded. Eight
-- bytes of a bigint are a timestamptz too, so COPY itself does not notice. SQLSTATE DR002: it is not.
CREATE OR REPLACE FUNCTION drover.unchanged(target text, shape text) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF drover.shape(target) IS DISTINCT FROM shape THEN
        RAISE EXCEPTION 'table % was altered', target USING ERRCODE = 'DR002';
    END IF;
END $$;

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
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, drover, pg_temp AS $$
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
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, drover, pg_temp AS $$
    SELECT l.job, l.task, l.sink FROM unnest(jobs, tasks, sinks) AS t(job, task, sink)
      JOIN drover.ledger AS l ON l.job = t.job AND l.task = t.task AND l.sink = t.sink
$$;

-- Nothing of the job's generations up to this one is taken once this has been committed.
CREATE OR REPLACE FUNCTION drover.fence(job_uid uuid, up_to bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, drover, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(job_uid::text, 8391));
    INSERT INTO drover.fenced (job, generation) VALUES (job_uid, up_to)
    ON CONFLICT (job) DO UPDATE SET generation = greatest(fenced.generation, excluded.generation);
END $$;

REVOKE ALL ON SCHEMA drover FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA drover FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA drover FROM PUBLIC;

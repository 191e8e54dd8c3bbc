-- Queries on the records that were scored again; each begins with its name.

-- runs: The deployments, envelopes and sources that entries were counted with, by number.
SELECT DISTINCT run, model_id, revision, threshold, aliases, envelope, source FROM entries
WHERE run IS NOT NULL ORDER BY run;

-- number_runs: Numbers them.
UPDATE entries SET run = numbered.run FROM (
  SELECT entry_id, dense_rank() OVER (ORDER BY revision, model_id, threshold, aliases, envelope, source) AS run
  FROM entries WHERE kind = 'batch') AS numbered
WHERE numbered.entry_id = entries.entry_id;

-- entries: The entries of a run.
SELECT entry_id, partition, from_offset, until_offset, records, alert, unscorable, dead_letter FROM entries
WHERE run = ? ORDER BY partition, from_offset;

-- missing: Outcomes of a run that are on no topic.
SELECT a.partition, a."offset", a.outcome, max(a.score) FROM rescores a WHERE a.run = :run
AND (a.outcome = 'dead_letter' OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.is_pruned AND e.partition = a.partition
  AND e.from_offset <= a."offset" AND e.until_offset > a."offset"))
GROUP BY 1, 2, 3 HAVING count(*) > (
  SELECT count(DISTINCT p.id) FROM positions p
  WHERE p.partition = a.partition AND p."offset" = a."offset" AND p.outcome = a.outcome
  AND (:counted_again OR p.model_id IS NULL OR (p.model_id = :model AND p.revision = :revision)))
ORDER BY 1, 2;

-- surplus: Outcomes on a topic, in a range of a run, that it does not have.
SELECT p."offset", p.outcome, EXISTS (SELECT 1 FROM entries e WHERE e.is_changed AND e.partition = p.partition
  AND e.from_offset <= p."offset" AND e.until_offset > p."offset")
FROM positions p
WHERE p.partition = :partition AND p."offset" >= :start AND p."offset" < :until
  AND (p.model_id IS NULL OR (p.model_id = :model AND p.revision = :revision))
GROUP BY 1, 2 HAVING count(DISTINCT p.id) > (
    SELECT count(*) FROM rescores a
    WHERE a.run = :run AND a.partition = p.partition AND a."offset" = p."offset" AND a.outcome = p.outcome)
ORDER BY 1;

-- scores: Outcomes of a run whose score on a topic is another one.
SELECT a.partition, a."offset", a.score, min(p.least), max(p.most) FROM rescores a JOIN positions p
ON p.partition = a.partition AND p."offset" = a."offset" AND p.outcome = a.outcome
  AND p.model_id = :model AND p.revision = :revision
WHERE a.run = :run GROUP BY a.rowid
HAVING min(max(abs(p.least - a.score), abs(p.most - a.score))) > :tolerance ORDER BY 1, 2;

-- counts: The outcomes of a run in a range.
SELECT outcome, count(*) FROM rescores WHERE run = ? AND partition = ? AND "offset" >= ? AND "offset" < ? GROUP BY 1;

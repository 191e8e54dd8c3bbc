-- If an output topic has lost its first records, the rows of the store are used in their place.

-- What is on no topic any more may have been pruned from the store, if its batch began before that time.
UPDATE entries SET is_pruned = 1 FROM (
  SELECT entry_id, lag(committed_us, 1, 0) OVER (PARTITION BY partition ORDER BY from_offset) AS began_us FROM entries
  WHERE kind = 'batch') AS batches
WHERE batches.entry_id = entries.entry_id
  AND coalesce(batches.began_us, 0) < (SELECT pruned_before_us FROM audited);
INSERT INTO positions
  SELECT DISTINCT partition, "offset", base, outcome, model_id, revision, NULL, NULL FROM store_rows k
  WHERE topic = (SELECT topic FROM audited) AND "offset" IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM positions p WHERE p.partition = k.partition AND p."offset" = k."offset" AND p.id = k.base
    AND p.outcome = k.outcome AND p.model_id IS k.model_id AND p.revision IS k.revision);

-- A review with drafts or labels has its edit script, so that effort is complete.
-- Params: none
-- Grain: review_id
SELECT r.review_id, r.dataset, r.arm
FROM v_review AS r
ANTI JOIN edits USING (review_id)
LEFT JOIN prelabels AS p USING (image_id, batch_id)
WHERE r.approved AND (r.labels_count > 0 OR len(list_filter(coalesce(p.predictions, []), lambda x: x.draft)) > 0)
ORDER BY r.review_id;

-- Every review of an arm's draft has that draft; imported truth and blind reviews have none.
-- Params: none
-- Grain: review_id
SELECT review_id, dataset, image_id, arm, batch_id
FROM reviews
ANTI JOIN prelabels USING (image_id, batch_id)
WHERE arm IN ('local', 'cloud')
ORDER BY review_id;

-- Let go of lines that were held by a claim. In: the claim.
delete from penstock.lease where claim = %(claim)s

"""Predicted Dice without a reference: reverse classification accuracy.

A segmentation is judged by what it teaches (Valindria et al. 2017, doi:10.1109/TMI.2017.2665165):
image and segmentation become a single atlas, the atlas is registered to a few reference cases
whose labels are trusted, and its labels are carried over. If they are good for at least one of
them, the segmentation was good: the best Dice over the references is the predicted Dice. At scale:
Robinson et al. 2019, doi:10.1186/s12968-019-0523-x; for finding groups that a model serves less
well where nobody drew references: Gaggion et al. 2023, arXiv:2309.00451.

`references` chooses and prepares the reference cases, `atlas` predicts.
"""

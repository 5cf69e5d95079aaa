/**
 * Findings written for this page, from normal to difficult; no report of a patient is among them.
 * @type {{ level: string, title: string, findings: string }[]}
 */
export const samples = [
  {
    level: 'Normal',
    title: 'Chest X-ray, routine',
    findings:
      'The cardiomediastinal silhouette is within normal limits. The lungs are clear without focal consolidation, ' +
      'pleural effusion or pneumothorax. The pulmonary vasculature is normal. No acute bony abnormality.',
  },
  {
    level: 'Normal',
    title: 'Chest X-ray, old granuloma',
    findings:
      'Heart size is normal. Calcified granuloma in the left mid lung, unchanged. No focal airspace disease, effusion ' +
      'or pneumothorax. Mild degenerative change of the thoracic spine.',
  },
  {
    level: 'Simple',
    title: 'Chest X-ray, opacity and effusion',
    findings:
      'Frontal and lateral views of the chest. There is a patchy airspace opacity in the right lower lobe that was ' +
      'not present on the prior study. Small right pleural effusion with blunting of the costophrenic angle. The left ' +
      'lung is clear. Heart size is normal. No pneumothorax. Mild degenerative change of the thoracic spine.',
  },
  {
    level: 'Simple',
    title: 'Chest X-ray, heart failure',
    findings:
      'The heart is enlarged. There is cephalization of the pulmonary vessels with Kerley B lines at both bases and ' +
      'perihilar haze. Small bilateral pleural effusions, larger on the right. A left chest wall pacemaker has leads in ' +
      'the right atrium and right ventricle. No pneumothorax.',
  },
  {
    level: 'Moderate',
    title: 'Chest X-ray, lines and tubes',
    findings:
      'Single portable semi-upright view. Endotracheal tube tip 4.5 cm above the carina. Right internal jugular ' +
      'catheter tip at the cavoatrial junction. Enteric tube courses below the diaphragm, tip not included. Low lung ' +
      'volumes. Diffuse bilateral interstitial and perihilar opacities have increased since yesterday. Moderate left ' +
      'and small right pleural effusions, with retrocardiac atelectasis. Stable cardiomegaly. A thin lucent line at ' +
      'the right apex measures 6 mm and is new, in keeping with a small pneumothorax. No displaced rib fracture.',
  },
  {
    level: 'Moderate',
    title: 'Abdominal CT, right lower quadrant pain',
    findings:
      'The appendix is dilated to 13 mm, with wall thickening, mucosal hyperenhancement and surrounding fat stranding. ' +
      'A 6 mm appendicolith lies at its base. No extraluminal air and no drainable collection. Trace free fluid in the ' +
      'pelvis. Liver, spleen, pancreas and kidneys are unremarkable, apart from a 2 mm nonobstructing calculus in the ' +
      'lower pole of the left kidney. No bowel obstruction. Normal caliber of the abdominal aorta.',
  },
  {
    level: 'Moderate',
    title: 'Knee MRI, twisting injury',
    findings:
      'Complete tear of the anterior cruciate ligament in its mid substance. Contusions of the lateral femoral condyle ' +
      'and the posterolateral tibial plateau without a fracture line. Vertical longitudinal tear of the posterior horn ' +
      'of the medial meniscus, not displaced. The lateral meniscus, posterior cruciate and collateral ligaments are ' +
      'intact. Grade 2 chondral change of the medial patellar facet. Large joint effusion. No popliteal cyst.',
  },
  {
    level: 'Difficult',
    title: 'Chest CT, nodules and incidental findings',
    findings:
      'Spiculated solid nodule in the left upper lobe, 18 x 14 mm, previously 11 x 9 mm. Second solid nodule in the ' +
      'right middle lobe, 4 mm, unchanged for three years. Enlarged left hilar node, 15 mm in short axis. No ' +
      'mediastinal adenopathy. Mild centrilobular emphysema, upper lobe predominant. No pleural or pericardial ' +
      'effusion. Coronary artery calcification. The adrenal glands are normal. A 22 mm hypodense lesion in segment VII ' +
      'of the liver is incompletely characterized. No suspicious osseous lesion.',
  },
  {
    level: 'Difficult',
    title: 'CT pulmonary angiogram, acute dyspnea',
    findings:
      'Filling defects in the right main pulmonary artery extending into the interlobar and lower lobe segmental ' +
      'branches, and in the left lower lobe segmental arteries. The right to left ventricular ratio is 1.3, with ' +
      'flattening of the interventricular septum. Wedge-shaped peripheral opacity in the right lower lobe with a central ' +
      'lucency. Trace right effusion. No pneumothorax. The aorta is not dilated; its opacification does not allow ' +
      'dissection to be excluded. A 9 mm hypodense nodule is noted in the left thyroid lobe.',
  },
  {
    level: 'Difficult',
    title: 'Chest X-ray, conflicting sides',
    findings:
      'Rotated portable view. Increased density over the left hemithorax with shift of the mediastinum to the left and ' +
      'elevation of the left hemidiaphragm, consistent with volume loss. No shift away from the left to suggest tension. ' +
      'The right lung is hyperinflated but clear. Left pleural drain projects over the left base, side hole within the ' +
      'chest. Subcutaneous emphysema on the left has decreased. No pneumothorax is seen on the right; a small left ' +
      'apical pneumothorax of 4 mm persists. Old healed right fifth and sixth rib fractures.',
  },
];
